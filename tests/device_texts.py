"""Output of device commands, in the formats of Android 7 to 16.

Written for these tests, following the formats of AOSP and of vendors.
"""

from __future__ import annotations


def text(lines: str) -> str:
    """Remove this file's indentation from a text."""
    return "\n".join(line.removeprefix("    ") for line in lines.strip("\n").split("\n"))


NOUGAT_PROPS = text("""
    [dalvik.vm.heapsize]: [512m]
    [ro.board.platform]: [msm8996]
    [ro.build.fingerprint]: [google/marlin/marlin:7.1.2/NZH54D/4146044:user/release-keys]
    [ro.build.version.release]: [7.1.2]
    [ro.build.version.sdk]: [25]
    [ro.hardware]: [marlin]
    [ro.product.cpu.abi]: [arm64-v8a]
    [ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
    [ro.product.manufacturer]: [Google]
    [ro.product.model]: [Pixel XL]
    [ro.serialno]: []
""").replace("\n", "\r\n")

UPSIDE_PROPS = text("""
    [persist.vendor.note]: [first line
    second [line]: with brackets]
    [ro.board.platform]: [kalama]
    [ro.build.version.release]: [14]
    [ro.build.version.sdk]: [34]
    [ro.hardware]: [qcom]
    [ro.product.cpu.abilist]: [arm64-v8a]
    [ro.product.manufacturer]: [OnePlus]
    [ro.product.model]: [OnePlus 11]
    [ro.soc.manufacturer]: [QTI]
    [ro.soc.model]: [SM8550]
""")

BATTERY = text("""
    Current Battery Service state:
      AC powered: false
      USB powered: true
      Wireless powered: false
      Max charging current: 500000
      Max charging voltage: 5000000
      Charge counter: 2784000
      status: 2
      health: 2
      present: true
      level: 85
      scale: 100
      voltage: 4205
      temperature: 281
      technology: Li-ion
""")

# A vendor's variant: other scale, extra sources, and a second list with the same names.
VENDOR_BATTERY = text("""
    Current Battery Service state:
      (UPDATES STOPPED -- use 'reset' to restart)
      AC powered: true
      USB powered: false
      Wireless powered: true
      Dock powered: false
      Max charging current: 0
      Time when the latest updated value of the voltage was sent via battery changed broadcast: 12
      status: 5
      health: 2
      present: true
      level: 199
      scale: 200
      voltage: 4380
      temperature: -15
      technology: Li-ion
      batteryMiscEvent: 0
      mSavedBatteryMaxTemp: 452
    BatteryInfoBackUp
      level: 3
      temperature: 999
""")

THERMAL = text("""
    IsStatusOverride: false
    ThermalEventListeners:
    \tcallbacks: 3
    \tkilled: false
    \tbroadcasts count: -1
    ThermalStatusListeners:
    \tcallbacks: 2
    \tkilled: false
    \tbroadcasts count: -1
    Thermal Status: 2
    Cached temperatures:
    \tTemperature{mValue=41.3, mType=3, mName=VIRTUAL-SKIN, mStatus=2}
    HAL Ready: true
    HAL connection:
    \tThermalHAL AIDL 2  connected: yes
""")

SERVICE_MISSING = "Can't find service: thermalservice\r\n"
