"""The Android app from the kit's side: build its APK, test it, install it, measure through it.

The app's own sources are in `android_app/` of the repository; `contract.json` there and
`kit.app.contract` here are the names that both sides use.
"""
