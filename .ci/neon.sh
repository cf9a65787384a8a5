#!/usr/bin/env bash
# Runs the tests of the kernels (distance, quantize) for 64-bit Arm under emulation: once on a core with every
# extension, once on one with none. Installs what is missing where it can; where it cannot, says so
# in one line and leaves with 0, unless CAIRN_REQUIRE_EMULATION=1.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
sysroot=/usr/aarch64-linux-gnu

leave_out() {
    echo "neon.sh: LEFT OUT: $1"
    [ "${CAIRN_REQUIRE_EMULATION:-0}" = 1 ] && exit 1
    exit 0
}

if ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    [ "$(id -u)" = 0 ] || leave_out "no qemu-aarch64 or aarch64-linux-gnu-gcc, and not root"
    { apt-get update && apt-get install -y --no-install-recommends \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross qemu-user; } \
        >/dev/null 2>&1 || leave_out "could not install the cross compiler and the emulator"
fi

# The standard library of the target: from rustup, else unpacked from Debian's own compiler.
have_std() { [ -n "$(find "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$target/lib" -name 'libstd-*' 2>/dev/null)" ]; }
if ! have_std; then
    { command -v rustup >/dev/null && timeout 300 rustup target add "$target" >/dev/null 2>&1; } || true
fi
if ! have_std; then
    root="${TMPDIR:-/tmp}/cairn-rustc-web"
    if [ ! -x "$root/rustc" ]; then
        rm -rf "$root" && mkdir -p "$root"
        (
            cd "$root"
            dpkg --add-architecture arm64 && apt-get update
            version=$(apt-cache show rustc-web | sed -n 's/^Depends:.*libstd-rust-web-\([0-9.]*\).*/\1/p' | head -1)
            llvm=$(apt-cache show rustc-web "libstd-rust-web-$version" | grep -o 'libllvm[0-9]*' | head -1)
            apt-get download rustc-web "libstd-rust-web-$version" libstd-rust-web-dev \
                libstd-rust-web-dev:arm64 "$llvm"
            for package in *.deb; do dpkg -x "$package" root; done
            printf '%s\n' '#!/bin/sh' \
                "export LD_LIBRARY_PATH=$root/root/usr/lib/x86_64-linux-gnu:$root/root/usr/lib" \
                "exec $root/root/usr/bin/rustc --sysroot $root/root/usr \"\$@\"" >rustc
            chmod +x rustc
        ) >/dev/null 2>&1 || leave_out "no standard library for $target from rustup or Debian"
    fi
    export RUSTC="$root/rustc"
fi

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
for cpu in max cortex-a72; do
    echo "neon.sh: emulated core $cpu"
    export CAIRN_EMULATOR="qemu-aarch64 -L $sysroot -cpu $cpu"
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$CAIRN_EMULATOR" \
        CAIRN_EXPECT_SIMD=neon CAIRN_REQUIRE_SIMD=scalar,neon \
        cargo test --quiet --package cairn-distance --target "$target" --tests
    # Of the quantisers those tests that are about instruction sets; the others would take minutes here.
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$CAIRN_EMULATOR" CAIRN_REQUIRE_SIMD=scalar,neon \
        cargo test --quiet --package cairn-quantize --target "$target" --lib --test rotation \
        --test integer_kernels --test fastscan_kernels --test same_everywhere
done
echo "neon.sh: passed"
