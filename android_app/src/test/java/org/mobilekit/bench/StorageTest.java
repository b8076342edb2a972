package org.mobilekit.bench;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public final class StorageTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void filesAreWrittenAtomically() throws Exception {
        Storage storage = new Storage(folder.getRoot());
        File result = storage.result("a");
        storage.write(result, out -> out.write("one".getBytes(StandardCharsets.UTF_8)));
        assertThrows(IOException.class, () -> storage.write(result, out -> {
            out.write("half of two".getBytes(StandardCharsets.UTF_8));
            throw new IOException("No space left on device");
        }));
        assertArrayEquals("one".getBytes(StandardCharsets.UTF_8),
                Files.readAllBytes(result.toPath()));
        assertEquals(Arrays.asList("a.json"), Arrays.asList(result.getParentFile().list()));
    }

    @Test
    public void aFolderThatCannotBeCreatedIsReported() throws Exception {
        folder.newFile("bench"); // a file in place of the folder
        Storage storage = new Storage(folder.getRoot());
        IOException e = assertThrows(IOException.class,
                () -> storage.write(storage.result("a"), out -> out.write(1)));
        assertEquals("cannot create the folder " + new File(folder.getRoot(), "bench"),
                e.getMessage());
    }

    @Test
    public void readsCoresAndMemory() {
        assertEquals(true, Proc.cpus().matches("[0-9a-f]+"));
        assertEquals(true, Proc.peak() > 1 << 20);
        assertEquals(true, Proc.threads() >= 1);
    }

    @Test
    public void readsTheClocksIfAvailable() throws Exception {
        assertEquals(null, DeviceState.clocks(folder.getRoot()));
        for (int core = 0; core < 2; core++) {
            File cpufreq = folder.newFolder("cpu" + core, "cpufreq");
            Files.write(new File(cpufreq, "scaling_cur_freq").toPath(),
                    ((core + 1) * 900000 + "\n").getBytes(StandardCharsets.US_ASCII));
        }
        assertEquals(Arrays.asList(900, 1800), DeviceState.clocks(folder.getRoot()));
    }
}
