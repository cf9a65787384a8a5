#!/usr/bin/env bash
# Runs the tests of the kernels (distance, quantize) on an emulated x86-64 processor without AVX. A binary that
# used an instruction beyond the baseline would die of it; one that chose the wrong kernels would
# fail CAIRN_EXPECT_SIMD. Without the emulator, says so in one line and leaves with 0, unless
# CAIRN_REQUIRE_EMULATION=1.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu

leave_out() {
    echo "noavx.sh: LEFT OUT: $1"
    [ "${CAIRN_REQUIRE_EMULATION:-0}" = 1 ] && exit 1
    exit 0
}

[ "$(uname -m)" = x86_64 ] || leave_out "not an x86-64 machine"
if ! command -v qemu-x86_64 >/dev/null; then
    [ "$(id -u)" = 0 ] || leave_out "no qemu-x86_64, and not root"
    { apt-get update && apt-get install -y --no-install-recommends qemu-user; } >/dev/null 2>&1 ||
        leave_out "could not install the emulator"
fi

export CAIRN_EMULATOR="qemu-x86_64 -cpu Nehalem"
CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$CAIRN_EMULATOR" \
    CAIRN_EXPECT_SIMD=scalar CAIRN_REQUIRE_SIMD=scalar \
    cargo test --quiet --package cairn-distance --target "$target" --tests
# Of the quantisers those tests that are about instruction sets; the others would take minutes here.
CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$CAIRN_EMULATOR" CAIRN_REQUIRE_SIMD=scalar \
    cargo test --quiet --package cairn-quantize --target "$target" --lib --test rotation \
    --test integer_kernels --test fastscan_kernels --test same_everywhere
echo "noavx.sh: passed"
