import com.android.apksig.ApkSigner;
import com.android.apksig.ApkVerifier;
import java.io.File;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Aligns, signs by APK signature schemes 2 and 3, and verifies: KEYSTORE ALIAS IN OUT MIN_SDK PAGE.
 * KEYSTORE ALIAS alone only opens it. An empty alias takes the only key. The password is in the
 * variable KIT_KEYSTORE_PASSWORD. Prints the SHA-256 of the certificate.
 */
public final class Sign {
    public static void main(String[] words) throws Exception {
        char[] password = System.getenv("KIT_KEYSTORE_PASSWORD").toCharArray();
        KeyStore store = KeyStore.getInstance(new File(words[0]), password);
        String alias = alias(store, words[1]);
        PrivateKey key = (PrivateKey) store.getKey(alias, password);
        if (words.length == 2) {
            return; // it opens
        }
        List<X509Certificate> chain = new ArrayList<>();
        for (java.security.cert.Certificate one : store.getCertificateChain(alias)) {
            chain.add((X509Certificate) one);
        }
        File signed = new File(words[3]);
        int minSdk = Integer.parseInt(words[4]);
        new ApkSigner.Builder(Collections.singletonList(
                        new ApkSigner.SignerConfig.Builder("kit", key, chain).build()))
                .setInputApk(new File(words[2]))
                .setOutputApk(signed)
                .setMinSdkVersion(minSdk)
                .setV1SigningEnabled(false)
                .setV2SigningEnabled(true)
                .setV3SigningEnabled(true)
                .setV4SigningEnabled(false)
                .setAlignmentPreserved(false)
                .setLibraryPageAlignmentBytes(Integer.parseInt(words[5]))
                .build()
                .sign();
        verify(signed, minSdk);
        System.out.println("certificate " + hex(chain.get(0).getEncoded()));
    }

    private static String alias(KeyStore store, String wanted) throws Exception {
        List<String> keys = new ArrayList<>();
        for (String one : Collections.list(store.aliases())) {
            if (store.isKeyEntry(one)) {
                keys.add(one);
            }
        }
        if (wanted.isEmpty() && keys.size() == 1) {
            return keys.get(0);
        }
        if (!keys.contains(wanted)) {
            throw new Exception("the keystore has the keys " + keys + ", choose one of them");
        }
        return wanted;
    }

    private static void verify(File signed, int minSdk) throws Exception {
        ApkVerifier.Result result =
                new ApkVerifier.Builder(signed).setMinCheckedPlatformVersion(minSdk).build().verify();
        if (!result.isVerified() || !result.isVerifiedUsingV2Scheme()
                || !result.isVerifiedUsingV3Scheme()) {
            throw new Exception("the signature does not verify: " + result.getAllErrors());
        }
    }

    private static String hex(byte[] data) throws Exception {
        StringBuilder text = new StringBuilder();
        for (byte one : MessageDigest.getInstance("SHA-256").digest(data)) {
            text.append(String.format("%02x", one));
        }
        return text.toString();
    }
}
