package org.mobilekit.demo;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.ClipData;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.provider.MediaStore;
import android.view.View;
import android.widget.AdapterView;
import android.widget.RadioGroup;
import android.widget.Spinner;

/** The demo: classifies a picture, measures the time and checks the outputs. */
public final class DemoActivity extends Activity {
    private static final int CHOOSE = 1;
    private static final int CAMERA = 2;

    private DemoSession session;
    private DemoScreen screen;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.demo);
        SafeArea.pad(findViewById(R.id.screen));
        screen = new DemoScreen(this);
        session = (DemoSession) getLastNonConfigurationInstance();
        boolean created = session == null;
        if (created) {
            session = new DemoSession(this, state == null ? Choice.initial() : Choice.from(state));
        }
        session.setListener(() -> screen.show(session));
        setListeners();
        if (created) {
            session.classify();
        } else {
            screen.show(session);
        }
    }

    private void setListeners() {
        findViewById(R.id.choose).setOnClickListener(view -> choosePicture());
        View camera = findViewById(R.id.camera);
        camera.setVisibility(cameraIntent().resolveActivity(getPackageManager()) == null
                ? View.GONE : View.VISIBLE);
        camera.setOnClickListener(view -> start(cameraIntent(), CAMERA));
        findViewById(R.id.again).setOnClickListener(view -> session.classify());
        findViewById(R.id.check).setOnClickListener(view -> session.check());
        findViewById(R.id.fewer).setOnClickListener(view -> changeThreads(-1));
        findViewById(R.id.more).setOnClickListener(view -> changeThreads(1));
        ((RadioGroup) findViewById(R.id.formats)).setOnCheckedChangeListener(this::selectArtifact);
        ((Spinner) findViewById(R.id.bundles)).setOnItemSelectedListener(new BundleListener());
    }

    private void choosePicture() {
        start(new Intent(Intent.ACTION_OPEN_DOCUMENT)
                .addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"), CHOOSE);
    }

    private Intent cameraIntent() {
        Uri target = CameraFile.uri(this);
        Intent intent = new Intent(MediaStore.ACTION_IMAGE_CAPTURE)
                .putExtra(MediaStore.EXTRA_OUTPUT, target)
                .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION);
        intent.setClipData(ClipData.newRawUri(null, target));
        return intent;
    }

    private void start(Intent intent, int request) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException | SecurityException e) {
            session.problem = getString(R.string.no_picture_app);
            screen.show(session);
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (result != RESULT_OK) {
            return;
        }
        if (request == CAMERA) {
            session.choose(session.choice.withPicture(CameraFile.uri(this).toString()));
        } else if (request == CHOOSE && data != null && data.getData() != null) {
            persistAccess(data.getData());
            session.choose(session.choice.withPicture(data.getData().toString()));
        }
    }

    /** Requests read access to the picture beyond the lifetime of the process. */
    private void persistAccess(Uri picture) {
        try {
            getContentResolver().takePersistableUriPermission(
                    picture, Intent.FLAG_GRANT_READ_URI_PERMISSION);
        } catch (SecurityException e) {
            android.util.Log.i("MobileKit", "not readable after the process ends: " + picture);
        }
    }

    private void changeThreads(int difference) {
        int threads = session.choice.threads + difference;
        if (threads >= 1 && threads <= DemoScreen.MAX_THREADS) {
            session.choose(session.choice.withThreads(threads));
        }
    }

    private void selectArtifact(RadioGroup group, int id) {
        View segment = group.findViewById(id);
        if (segment != null && !segment.getTag().equals(session.choice.artifact)) {
            session.choose(session.choice.withArtifact((String) segment.getTag()));
        }
    }

    private final class BundleListener implements AdapterView.OnItemSelectedListener {
        @Override
        public void onItemSelected(AdapterView<?> list, View view, int position, long id) {
            String name = session.bundles.get(position);
            if (!name.equals(session.choice.bundle)) {
                session.choose(session.choice.withBundle(name));
            }
        }

        @Override
        public void onNothingSelected(AdapterView<?> list) {
            // keep the selection
        }
    }

    /** For tests: the state that the screen shows. */
    DemoSession session() {
        return session;
    }

    @Override
    public Object onRetainNonConfigurationInstance() {
        return session;
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        session.choice.save(state);
    }

    @Override
    protected void onDestroy() {
        super.onDestroy();
        session.setListener(null);
        if (!isChangingConfigurations()) {
            session.close();
        }
    }
}
