package org.mobilekit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.json.JSONObject;
import org.junit.Test;

public final class ScoresTest {
    @Test
    public void theBestAnswerIsFirst() {
        List<Answer> top = Scores.top(new float[] {0, 1, -1}, Arrays.asList("a", "b", "c"), 2);
        assertEquals(2, top.size());
        assertEquals("b", top.get(0).label);
        assertEquals(Math.E / (1 + Math.E + 1 / Math.E), top.get(0).probability, 1e-12);
        assertEquals(0, top.get(1).index);
    }

    @Test
    public void probabilitiesAreNotChanged() {
        float[] probabilities = {0.25f, 0.75f, 0};
        List<Answer> top = Scores.topOfProbabilities(
                probabilities, Arrays.asList("a", "b", "c"), 2);
        assertEquals("b", top.get(0).label);
        assertEquals(0.75, top.get(0).probability, 0);
        assertEquals(0.25, top.get(1).probability, 0);
        assertTrue(Scores.top(probabilities, null, 1).get(0).probability < 0.6);
    }

    @Test
    public void readsTheTypeOfTheScoresFromTheManifest() throws Exception {
        assertFalse(manifest(null).probabilities);
        assertFalse(manifest("logits").probabilities);
        assertTrue(manifest("probabilities").probabilities);
        KitException e = assertThrows(KitException.class, () -> manifest("odds"));
        assertEquals("This app does not support scores of the type odds", e.getMessage());
    }

    private static Manifest manifest(String scores) throws Exception {
        String tensor = "{'name': 'x', 'dtype': 'float32', 'shape': [1, 2]}";
        JSONObject json = new JSONObject("{'schema_version': 6, 'recipe': {'model': 'm'},"
                + " 'labels': null, 'task': 'image-classification', 'preprocessing': null,"
                + " 'signature': {'inputs': [" + tensor + "], 'outputs': [" + tensor + "]},"
                + " 'golden': {'inputs': ['golden/input.npy'], 'outputs': {}},"
                + " 'artifacts': [], 'files': {}}");
        return new Manifest(json.put("scores", scores == null ? JSONObject.NULL : scores));
    }

    @Test
    public void largeLogitsDoNotOverflow() {
        assertEquals(1, Scores.top(new float[] {1000, 0}, null, 1).get(0).probability, 0);
    }

    @Test
    public void withoutLabelsTheIndexIsShown() {
        assertEquals("#1", Scores.top(new float[] {0, 1}, Arrays.asList("a"), 1).get(0).label);
    }

    @Test
    public void goldenReportCountsAndMeasures() throws Exception {
        Golden.Report report = golden(12.0).check(inputs -> answer((float) inputs.get(0).at(0), 0));
        assertEquals(2, report.images);
        assertEquals(1, report.agreeing); // the outputs of the second one are swapped
        assertEquals(3, report.maxAbs, 0);
        assertEquals(10 * Math.log10(10.0 / 9), report.sqnrDb, 1e-9);
        assertFalse(report.matches());
    }

    @Test
    public void equalNumbersAlwaysMatch() throws Exception {
        for (Double floor : new Double[] {null, 40.0}) {
            Golden.Report report = golden(floor).check(
                    inputs -> inputs.get(0).at(0) == 1 ? answer(1, 0) : answer(0, 3));
            assertTrue(report.matches());
        }
    }

    @Test
    public void anyDifferenceFailsIfEqualityIsRequired() throws Exception {
        assertFalse(golden(null).check(inputs ->
                inputs.get(0).at(0) == 1 ? answer(1, 1e-6f) : answer(0, 3)).matches());
    }

    @Test
    public void notANumberMatchesNothing() throws Exception {
        assertFalse(golden(-100.0).check(inputs -> answer(Float.NaN, 0)).matches());
    }

    @Test
    public void anotherNumberOfCategoriesIsRejected() {
        assertThrows(KitException.class, () -> golden(12.0).check(inputs -> answer(0, 0, 0)));
    }

    private static Golden golden(Double floor) throws KitException {
        TensorSpec one = new TensorSpec("in", DType.FLOAT32, 1, 1);
        TensorSpec two = new TensorSpec("out", DType.FLOAT32, 1, 2);
        Npy inputs = Npy.parse(NpyTest.file("<f4", "2, 1", 1, 0), one, "in");
        Npy expected = Npy.parse(NpyTest.file("<f4", "2, 2", 1, 0, 0, 3), two, "out");
        return new Golden(
                Collections.singletonList(inputs), Collections.singletonList(expected), floor);
    }

    private static List<Tensor> answer(float... logits) {
        return Collections.singletonList(Tensor.of(logits, 1, logits.length));
    }

    @Test
    public void filesOfDifferentLengthsAreRejected() throws Exception {
        TensorSpec one = new TensorSpec("in", DType.FLOAT32, 1, 1);
        Npy two = Npy.parse(NpyTest.file("<f4", "2, 1", 1, 0), one, "in");
        Npy none = Npy.parse(NpyTest.file("<f4", "0, 1"), one, "in");
        for (List<Npy> inputs : Arrays.asList(Arrays.asList(two, none), Arrays.asList(none))) {
            assertThrows(KitException.class,
                    () -> new Golden(inputs, Collections.singletonList(none), null));
        }
    }
}
