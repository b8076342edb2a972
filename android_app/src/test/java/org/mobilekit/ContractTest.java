package org.mobilekit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.json.JSONObject;
import org.junit.Before;
import org.junit.Test;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** Compares the Java constants with contract.json, which Python reads too. */
public final class ContractTest {
    private static final String ANDROID = "http://schemas.android.com/apk/res/android";

    private JSONObject contract;

    @Before
    public void read() throws Exception {
        contract = new JSONObject(text("contract.json"));
    }

    private static String text(String path) throws Exception {
        byte[] data = Files.readAllBytes(Samples.app().resolve(path));
        return new String(data, StandardCharsets.UTF_8);
    }

    @Test
    public void numbers() throws Exception {
        assertEquals(contract.getInt("contract"), Contract.VERSION);
        assertEquals(contract.getInt("protocol"), Contract.PROTOCOL);
        assertEquals(contract.getInt("result_schema"), Contract.RESULT_SCHEMA);
        assertEquals(contract.getInt("bundle_schema"), Contract.BUNDLE_SCHEMA);
    }

    @Test
    public void names() throws Exception {
        assertEquals(contract.getString("bench_action"), Contract.BENCH_ACTION);
        assertEquals(contract.getString("bench_permission"), Contract.BENCH_PERMISSION);
        assertEquals(contract.getString("log_tag"), Contract.LOG_TAG);
        assertEquals(contract.getString("name_pattern"), Contract.NAME.pattern());
        JSONObject assets = contract.getJSONObject("assets");
        assertEquals(assets.getString("bundles"), Contract.ASSET_BUNDLES);
        assertEquals(assets.getString("picture"), Contract.ASSET_PICTURE);
        assertEquals(assets.getString("credit"), Contract.ASSET_CREDIT);
        assertEquals(assets.getString("runtimes"), Contract.ASSET_RUNTIMES);
        assertEquals(4, assets.length());
    }

    @Test
    public void files() throws Exception {
        JSONObject files = contract.getJSONObject("files");
        String folder = Contract.FILES_RESULTS + "/";
        assertEquals(files.getString("bundles"), Contract.FILES_BUNDLES);
        assertEquals(files.getString("results"), Contract.FILES_RESULTS);
        assertEquals(files.getString("result"), folder + "{id}" + Contract.RESULT_SUFFIX);
        assertEquals(files.getString("answer"), folder + "{id}" + Contract.ANSWER_SUFFIX);
        assertEquals(files.getString("nameless"),
                folder + Contract.NAMELESS + Contract.RESULT_SUFFIX);
        assertEquals(5, files.length());
    }

    @Test
    public void runtimes() throws Exception {
        Map<String, String> listed = new LinkedHashMap<>();
        JSONObject formats = contract.getJSONObject("formats");
        for (Iterator<String> names = formats.keys(); names.hasNext(); ) {
            String name = names.next();
            listed.put(name, formats.getString(name));
            Class.forName(formats.getString(name), false, getClass().getClassLoader());
        }
        assertEquals(listed, Runtimes.CLASSES);
    }

    @Test
    public void manifest() throws Exception {
        Element bench = activity(contract.getString("bench_activity"));
        assertEquals(Contract.BENCH_PERMISSION, bench.getAttributeNS(ANDROID, "permission"));
        assertEquals("true", bench.getAttributeNS(ANDROID, "exported"));
        Element demo = activity(contract.getString("demo_activity"));
        assertTrue(demo.getElementsByTagName("intent-filter").getLength() > 0);
    }

    @Test
    public void gradle() throws Exception {
        String gradle = text("build.gradle.kts");
        assertTrue(gradle.contains("minSdk = " + contract.getInt("minimum_sdk")));
        assertTrue(gradle.contains("targetSdk = " + contract.getInt("target_sdk")));
        String id = "\"" + contract.getString("application_id") + "\"";
        assertTrue(gradle.contains("applicationId = " + id));
        assertTrue(gradle.contains("namespace = " + id));
    }

    private static Element activity(String name) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        Document manifest = factory.newDocumentBuilder().parse(
                Samples.app().resolve("src/main/AndroidManifest.xml").toFile());
        NodeList activities = manifest.getElementsByTagName("activity");
        for (int i = 0; i < activities.getLength(); i++) {
            Element activity = (Element) activities.item(i);
            if (activity.getAttributeNS(ANDROID, "name").equals(name)) {
                return activity;
            }
        }
        throw new AssertionError("the manifest has no activity " + name);
    }
}
