package org.mobilekit;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Marks a method that calls APIs newer than level 26, behind a check of the SDK version. */
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface NewerApi {
    /** The required API level. */
    int value();
}
