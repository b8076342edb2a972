# Bytes of an APK's binary AndroidManifest.xml, in decimal, in; what the package manager keeps of
# it, out: `package NAME DEBUGGABLE`, then a line `KIND CLASS EXPORTED PERMISSION` a component.
# https://android.googlesource.com/platform/frameworks/base/+/main/libs/androidfw/include/androidfw/ResourceTypes.h
function u16(at) { return b[at] + 256 * b[at + 1] }
function u32(at) { return u16(at) + 65536 * u16(at + 2) }

function strings(at,   i) { # a chunk of the type 0x0001
  utf8 = int(u32(at + 16) / 256) % 2
  for (i = 0; i < u32(at + 8); i++) text[i] = string(at + u32(at + 20) + u32(at + 28 + 4 * i))
}
function string(at,   count, found, i) {
  if (!utf8) {
    count = u16(at)
    for (i = 1; i <= count; i++) found = found sprintf("%c", u16(at + 2 * i))
    return found
  }
  at += b[at] > 127 ? 2 : 1 # its length in characters
  count = b[at++]
  if (count > 127) count = (count - 128) * 256 + b[at++]
  for (i = 0; i < count; i++) found = found sprintf("%c", b[at + i])
  return found
}

function attributes(at,   i, one, id) { # of an element: by the resource's number, or by name
  split("", value)
  for (i = 0; i < u16(at + 28); i++) {
    one = at + 16 + u16(at + 24) + i * u16(at + 26)
    id = u32(one + 4)
    id = id in resource ? resource[id] : text[id]
    value[id] = b[one + 15] == 3 ? text[u32(one + 16)] : b[one + 15] == 18 ? (u32(one + 16) ? "true" : "false") : "?"
  }
}
function class(name) { return name ~ /^\./ ? package name : name ~ /\./ ? name : package "." name }

function begins(name) {
  if (name == "manifest") package = value["package"]
  if (name == "application") {
    print "package", package, value[DEBUGGABLE] == "true" ? "debuggable" : "release"
    everywhere = value[PERMISSION]
  }
  if (name ~ /^(activity|activity-alias|service|receiver|provider)$/) {
    component = class(value[NAME])
    exported = value[EXPORTED]
    permission = value[PERMISSION] != "" ? value[PERMISSION] : everywhere
  }
  if (name == "intent-filter" && exported == "") exported = "true" # as before Android 12
}
function ends(name) {
  if (name ~ /^(activity|activity-alias|service|receiver|provider)$/)
    print name, component, exported == "" ? "false" : exported, permission == "" ? "-" : permission
}

{ for (i = 1; i <= NF; i++) b[count++] = $i + 0 }
END {
  # Of android.R.attr.
  NAME = 16842755; PERMISSION = 16842758; DEBUGGABLE = 16842767; EXPORTED = 16842768
  if (count < 8 || u16(0) != 3) exit 1
  for (at = 8; at + 8 <= count && u32(at + 4) > 0; at += u32(at + 4)) {
    kind = u16(at)
    if (kind == 1) strings(at)
    if (kind == 384) for (i = 0; i < (u32(at + 4) - 8) / 4; i++) resource[i] = u32(at + 8 + 4 * i)
    if (kind == 258) { attributes(at); begins(text[u32(at + 20)]) }
    if (kind == 259) ends(text[u32(at + 20)])
  }
}
