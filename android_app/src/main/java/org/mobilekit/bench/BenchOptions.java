package org.mobilekit.bench;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.mobilekit.Contract;

/** What to measure and how, checked completely when it is made. Immutable. */
final class BenchOptions {
    /** One extra of the intent; numbers have bounds, names have {@link Contract#NAME}. */
    static final class Extra {
        final String name;
        final String type;
        final double least;
        final double most;

        private Extra(String name, String type, double least, double most) {
            this.name = name;
            this.type = type;
            this.least = least;
            this.most = most;
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
        threads = whole("threads");
        plan = new Plan(whole("warmup"), seconds("warmup_seconds"), whole("iters"),
                seconds("min_seconds"), seconds("max_seconds"));
    }

    /** The options by their names, for the result. */
    Map<String, Object> values() {
        return values;
    }

    /** Returns the id if it is one, and otherwise the name for results that have none. */
    static String idOf(Map<String, ?> extras) {
        Object id = extras.get("id");
        return id instanceof String && Contract.NAME.matcher((String) id).matches()
                ? (String) id : Contract.NAMELESS;
    }

    /**
     * Checks the extras of an intent.
     *
     * @throws StageException stage "usage"; the message names the extra and its value
     */
    static BenchOptions from(Map<String, ?> extras) throws StageException {
        Object contract = extras.get("contract");
        if (contract instanceof Integer && (Integer) contract != Contract.VERSION) {
            throw usage("the kit speaks contract " + contract + " and this app speaks "
                    + Contract.VERSION + ": build and install the app with the kit in use");
        }
        Map<String, Object> values = new LinkedHashMap<>();
        TreeSet<String> unknown = new TreeSet<>(extras.keySet());
        for (Extra extra : EXTRAS) {
            unknown.remove(extra.name);
            values.put(extra.name, checked(extra, extras.get(extra.name)));
        }
        if (!unknown.isEmpty()) {
            throw usage("unknown extra " + shown(unknown.first()));
        }
        return new BenchOptions(values);
    }

    private static Object checked(Extra extra, Object value) throws StageException {
        if (value == null) {
            throw usage(extra.name + " is missing");
        }
        switch (extra.type) {
            case "name":
                return name(extra, value);
            case "int":
                return value instanceof Integer ? (Integer) inside(extra, (Integer) value)
                        : wrong(extra, value, "a whole number (--ei)");
            default:
                return value instanceof Integer || value instanceof Float
                        ? inside(extra, (Number) value)
                        : wrong(extra, value, "a number (--ef)");
        }
    }

    private static Object name(Extra extra, Object value) throws StageException {
        if (!(value instanceof String) || !Contract.NAME.matcher((String) value).matches()) {
            return wrong(extra, value, "a name: letters, digits, dot, hyphen and underscore");
        }
        return value;
    }

    private static Number inside(Extra extra, Number value) throws StageException {
        double number = value.doubleValue();
        if (!(number >= extra.least && number <= extra.most)) { // also what is no number
            wrong(extra, value, "from " + plain(extra.least) + " to " + plain(extra.most));
        }
        return value;
    }

    private static Object wrong(Extra extra, Object value, String what) throws StageException {
        throw usage(extra.name + " is " + shown(value) + ", but must be " + what);
    }

    private static StageException usage(String message) {
        return new StageException("usage", message);
    }

    private static String shown(Object value) {
        String text = String.valueOf(value);
        return "'" + (text.length() > 80 ? text.substring(0, 80) + "…" : text) + "'";
    }

    private static String plain(double number) {
        return number == Math.rint(number) ? String.valueOf((long) number)
                : String.valueOf(number);
    }

    private int whole(String name) {
        return (Integer) values.get(name);
    }

    private double seconds(String name) {
        return ((Number) values.get(name)).doubleValue();
    }
}
