package org.mobilekit;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Marks a method that calls what API 26 lacks, and is only entered where the device has it. */
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface NewerApi {
    /** The API level that is asked for first. */
    int value();
}
