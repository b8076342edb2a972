package org.mobilekit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public final class ScoresTest {
    @Test
    public void theBestComesFirstWithItsShare() {
        List<Answer> top = Scores.top(new float[] {0, 1, -1}, Arrays.asList("a", "b", "c"), 2);
        assertEquals(2, top.size());
        assertEquals("b", top.get(0).label);
        assertEquals(Math.E / (1 + Math.E + 1 / Math.E), top.get(0).probability, 1e-12);
        assertEquals(0, top.get(1).index);
    }

    @Test
    public void largeLogitsDoNotOverflow() {
        assertEquals(1, Scores.top(new float[] {1000, 0}, null, 1).get(0).probability, 0);
    }

    @Test
    public void withoutNamesThereIsTheNumber() {
        assertEquals("#1", Scores.top(new float[] {0, 1}, Arrays.asList("a"), 1).get(0).label);
    }

    @Test
    public void goldenReportCountsAndMeasures() throws Exception {
        Golden.Report report = golden(12.0).check(input -> new float[] {input[0], 0});
        assertEquals(2, report.images);
        assertEquals(1, report.agreeing); // the second one has its answers the other way round
        assertEquals(3, report.maxAbs, 0);
        assertEquals(10 * Math.log10(10.0 / 9), report.sqnrDb, 1e-9);
        assertFalse(report.matches());
    }

    @Test
    public void equalNumbersMatchWhateverIsAsked() throws Exception {
        for (Double floor : new Double[] {null, 40.0}) {
            Golden.Report report = golden(floor).check(
                    input -> input[0] == 1 ? new float[] {1, 0} : new float[] {0, 3});
            assertTrue(report.matches());
        }
    }

    @Test
    public void whereEqualityIsAskedAnyDifferenceDiffers() throws Exception {
        assertFalse(golden(null).check(
                input -> input[0] == 1 ? new float[] {1, 1e-6f} : new float[] {0, 3}).matches());
    }

    @Test
    public void notANumberMatchesNothing() throws Exception {
        assertFalse(golden(-100.0).check(input -> new float[] {Float.NaN, 0}).matches());
    }

    @Test
    public void anotherNumberOfCategoriesIsSaid() {
        assertThrows(KitException.class, () -> golden(12.0).check(input -> new float[3]));
    }

    private static Golden golden(Double floor) throws KitException {
        Npy inputs = Npy.parse(NpyTest.file("<f4", "2, 1", 1, 0), "in");
        Npy wanted = Npy.parse(NpyTest.file("<f4", "2, 2", 1, 0, 0, 3), "out");
        return new Golden(inputs, wanted, floor);
    }
}
