# Sourced by every shim: writes the call down, reads values. The shell is mksh, as on a phone;
# its own print starts no process, which counts under emulation.
V=/data/vdev

# One write per call, so that two at once do not mix: fields end with US, a call with RS US.
printf '%s\037' "${0##*/}" "$@" $'\036' >>"$V/calls" 2>/dev/null

value() {
  REPLY=
  [ -f "$V/$1" ] && { IFS= read -r REPLY <"$V/$1" || :; }
}
say() { value "$1"; print -rn -- "$REPLY"; }
put() { print -r -- "$2" >"$V/$1.part.$$" && mv "$V/$1.part.$$" "$V/$1"; }
served() { grep -qxF -e "$1" "$V/services"; }
refuse() { echo "${0##*/}: not available on this virtual device" >&2; exit 127; }
