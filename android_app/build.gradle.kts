plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.mobilekit.demo"
    compileSdk = 34

    defaultConfig {
        applicationId = "org.mobilekit.demo"
        minSdk = 26
        targetSdk = 34
        versionCode = 1
        versionName = "0.1.0"
    }

    sourceSets {
        getByName("main") {
            // One folder for each runtime, with its line in `dependencies`. Lite and ExecuTorch
            // do not go together: each brings its own version of the library fbjni.
            java.srcDirs("src/main/java", "src/onnx/java", "src/lite/java")
            // java.srcDirs("src/main/java", "src/onnx/java", "src/executorch/java")
            // Where the bundles, picture.jpg and runtimes.json are that the app is built with.
            assets.srcDirs("src/main/assets")
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles("keep.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    androidResources {
        noCompress += listOf("onnx", "ptl", "pte")
    }

    // The tests are Maven's: see pom.xml.
    testOptions {
        unitTests.all { it.enabled = false }
    }
}

dependencies {
    implementation(libs.onnxruntime.android)
    implementation(libs.pytorch.android.lite)
    // implementation(libs.executorch.android)
}
