package org.mobilekit.bench;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.mobilekit.Contract;

/** Validated options of a measurement. Immutable. */
final class BenchOptions {
    /** An intent extra; numbers have a range, names match {@link Contract#NAME}. */
    static final class Extra {
        final String name;
        final String type;
        final double min;
        final double max;

        private Extra(String name, String type, double min, double max) {
            this.name = name;
            this.type = type;
            this.min = min;
            this.max = max;
        }
    }

    static final List<Extra> EXTRAS = Collections.unmodifiableList(Arrays.asList(
            new Extra("contract", "int", 1, Integer.MAX_VALUE),
            new Extra("id", "name", 0, 0),
            new Extra("bundle", "name", 0, 0),
            new Extra("artifact", "name", 0, 0),
            new Extra("threads", "int", 1, 64),
            new Extra("warmup", "int", 0, 100_000),
            new Extra("warmup_seconds", "float", 0, 600),
            new Extra("iters", "int", 1, 1_000_000),
            new Extra("min_seconds", "float", 0, 3600),
            new Extra("max_seconds", "float", 0.1, 3600)));

    final String id;
    final String bundle;
    final String artifact;
    final int threads;
    final Plan plan;
    private final Map<String, Object> values;

    private BenchOptions(Map<String, Object> values) {
        this.values = Collections.unmodifiableMap(values);
        id = (String) values.get("id");
        bundle = (String) values.get("bundle");
        artifact = (String) values.get("artifact");
        threads = intValue("threads");
        plan = new Plan(intValue("warmup"), doubleValue("warmup_seconds"), intValue("iters"),
                doubleValue("min_seconds"), doubleValue("max_seconds"));
    }

    /** Returns the options by name, for the result. */
    Map<String, Object> values() {
        return values;
    }

    /** Returns the id if it is valid, otherwise the placeholder for results without one. */
    static String idOf(Map<String, ?> extras) {
        Object id = extras.get("id");
        return id instanceof String && Contract.NAME.matcher((String) id).matches()
                ? (String) id : Contract.NAMELESS;
    }

    /**
     * Parses and validates the extras of an intent.
     *
     * @throws StageException stage "usage"; the message names the extra and its value
     */
    static BenchOptions from(Map<String, ?> extras) throws StageException {
        Object contract = extras.get("contract");
        if (contract instanceof Integer && (Integer) contract != Contract.VERSION) {
            throw usage("kit uses contract " + contract + ", but this app uses "
                    + Contract.VERSION + ": build and install the app with this version of kit");
        }
        Map<String, Object> values = new LinkedHashMap<>();
        TreeSet<String> unknown = new TreeSet<>(extras.keySet());
        for (Extra extra : EXTRAS) {
            unknown.remove(extra.name);
            values.put(extra.name, validate(extra, extras.get(extra.name)));
        }
        if (!unknown.isEmpty()) {
            throw usage("unknown extra " + quote(unknown.first()));
        }
        return new BenchOptions(values);
    }

    private static Object validate(Extra extra, Object value) throws StageException {
        if (value == null) {
            throw usage(extra.name + " is missing");
        }
        switch (extra.type) {
            case "name":
                return checkName(extra, value);
            case "int":
                return value instanceof Integer ? (Integer) checkRange(extra, (Integer) value)
                        : reject(extra, value, "a whole number (--ei)");
            default:
                return value instanceof Integer || value instanceof Float
                        ? checkRange(extra, (Number) value)
                        : reject(extra, value, "a number (--ef)");
        }
    }

    private static Object checkName(Extra extra, Object value) throws StageException {
        if (!(value instanceof String) || !Contract.NAME.matcher((String) value).matches()) {
            return reject(extra, value, "a name: letters, digits, dot, hyphen and underscore");
        }
        return value;
    }

    private static Number checkRange(Extra extra, Number value) throws StageException {
        double number = value.doubleValue();
        if (!(number >= extra.min && number <= extra.max)) { // also rejects NaN
            reject(extra, value, "from " + format(extra.min) + " to " + format(extra.max));
        }
        return value;
    }

    private static Object reject(Extra extra, Object value, String expected) throws StageException {
        throw usage(extra.name + " is " + quote(value) + ", but must be " + expected);
    }

    private static StageException usage(String message) {
        return new StageException("usage", message);
    }

    private static String quote(Object value) {
        String text = String.valueOf(value);
        return "'" + (text.length() > 80 ? text.substring(0, 80) + "…" : text) + "'";
    }

    private static String format(double number) {
        return number == Math.rint(number) ? String.valueOf((long) number)
                : String.valueOf(number);
    }

    private int intValue(String name) {
        return (Integer) values.get(name);
    }

    private double doubleValue(String name) {
        return ((Number) values.get(name)).doubleValue();
    }
}
