plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.mobilekit.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "org.mobilekit.demo"
        minSdk = 26
        targetSdk = 36
        versionCode = 200
        versionName = "0.2.0"
    }

    sourceSets {
        getByName("main") {
            // One folder for each runtime, with its line in `dependencies`. Lite and ExecuTorch
            // do not go together: each brings its own version of the library fbjni. And an app
            // with Lite cannot be published: its libraries are for memory pages of 4 KB.
            java.srcDirs("src/main/java", "src/onnx/java", "src/lite/java")
            // java.srcDirs("src/main/java", "src/onnx/java", "src/executorch/java")
            // java.srcDirs("src/main/java", "src/litert/java")
            // Where the bundles, picture.jpg and runtimes.json are that the app is built with.
            assets.srcDirs("src/main/assets")
        }
        // The tests are Maven's, see pom.xml: what they need is not on Gradle's class path.
        getByName("test") {
            java.setSrcDirs(emptyList<String>())
            resources.setSrcDirs(emptyList<String>())
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "keep.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    androidResources {
        noCompress += listOf("onnx", "ptl", "pte", "tflite")
    }

    packaging {
        jniLibs { useLegacyPackaging = false } // mapped from the APK, not unpacked
    }
}

dependencies {
    implementation(libs.onnxruntime.android)
    implementation(libs.pytorch.android.lite)
    // implementation(libs.executorch.android)
    // implementation(libs.tensorflow.lite)
}
