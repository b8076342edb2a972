package org.mobilekit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import java.io.File;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The code on the embedding pages compiles, and the files that they name exist. */
public final class EmbeddingPageTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private static String page() throws Exception {
        StringBuilder text = new StringBuilder();
        for (String name : new String[] {"embedding.md", "examples/android.md"}) {
            File page = Samples.app().resolve("../docs").resolve(name).toFile();
            assumeTrue("the wheel does not include the docs", page.getParentFile().isDirectory());
            text.append(new String(Files.readAllBytes(page.toPath()), StandardCharsets.UTF_8));
        }
        return text.toString();
    }

    private static List<String> blocks(String language) throws Exception {
        Matcher matcher = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL)
                .matcher(page());
        List<String> blocks = new ArrayList<>();
        while (matcher.find()) {
            blocks.add(matcher.group(1));
        }
        assertFalse("no code blocks in " + language, blocks.isEmpty());
        return blocks;
    }

    private static JavaFileObject source(String text) {
        Matcher name = Pattern.compile("class (\\w+)").matcher(text);
        assertTrue(name.find());
        return new SimpleJavaFileObject(
                URI.create("string:///" + name.group(1) + ".java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreErrors) {
                return text;
            }
        };
    }

    @Test
    public void theCodeCompiles() throws Exception {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        String classes = System.getProperty("surefire.test.class.path",
                System.getProperty("java.class.path"));
        List<JavaFileObject> sources = new ArrayList<>();
        for (String block : blocks("java")) {
            sources.add(source(block));
        }
        StringWriter output = new StringWriter();
        boolean compiled = compiler.getTask(output, null, null, Arrays.asList(
                "--release", "11", "-cp", classes, "-d", folder.getRoot().getPath()),
                null, sources).call();
        assertTrue(output.toString(), compiled);
    }

    @Test
    public void theNamedFilesExist() throws Exception {
        Matcher paths = Pattern.compile("`(android_app/[^`]*)`").matcher(page());
        int files = 0;
        while (paths.find()) {
            files++;
            File file = Samples.app().resolve("..").resolve(paths.group(1)).toFile();
            assertTrue(file + " does not exist", file.exists());
        }
        assertTrue(files >= 3);
    }

    @Test
    public void theVersionsMatchTheCatalog() throws Exception {
        String catalog = new String(Files.readAllBytes(
                Samples.app().resolve("gradle/libs.versions.toml")), StandardCharsets.UTF_8);
        Matcher dependency = Pattern.compile("implementation\\(\"([^\"]*):([^\":]*)\"\\)").matcher(
                String.join("\n", blocks("kotlin")));
        int count = 0;
        while (dependency.find()) {
            count++;
            Matcher reference = Pattern.compile("\"" + Pattern.quote(dependency.group(1))
                    + "\", version.ref = \"([^\"]*)\"").matcher(catalog);
            assertTrue(dependency.group(1), reference.find());
            assertTrue(dependency.group(), catalog.contains(
                    "\n" + reference.group(1) + " = \"" + dependency.group(2) + "\"\n"));
        }
        assertEquals(5, count);
    }
}
