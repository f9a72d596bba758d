//! The instructions of a bystander's programs (linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst).

/// `TCX_NEXT` and `TC_ACT_UNSPEC`: on to the next program.
const ON: i32 = -1;
/// `BPF_FUNC_map_lookup_elem`.
const LOOK_UP: i32 = 1;
/// `BPF_FUNC_redirect_neigh`.
const REDIRECT_NEIGH: i32 = 152;
/// `IPPROTO_TCP`.
const TCP: i32 = 6;
const EXIT: u64 = instruction(0x95, 0, 0, 0, 0);

/// Counts a packet in the first element of the map, and passes it on.
pub(super) fn count(counter: i32) -> Vec<u64> {
    let mut program = counting(counter).to_vec();
    program.extend([
        instruction(0xb7, 0, 0, 0, ON), // r0 = on
        EXIT,
    ]);
    program
}

/// Counts a TCP packet and sends it to its receiver through an interface; passes others on.
pub(super) fn redirect_tcp(counter: i32, to: u32) -> Vec<u64> {
    let v4 = i32::from(0x0800_u16.to_be());
    let v6 = i32::from(0x86dd_u16.to_be());
    let mut program = vec![
        instruction(0xbf, 6, 1, 0, 0), // r6 = r1, where the loads below want it
        instruction(0x61, 7, 6, 16, 0), // r7 = r6->protocol
        instruction(0x15, 7, 0, 3, v4), // if r7 == v4 to (1)
        instruction(0x55, 7, 0, 4, v6), // if r7 != v6 to (3)
        instruction(0x30, 0, 0, 0, 20), // r0 = packet[20]: the next header of IPv6
        instruction(0x05, 0, 0, 1, 0), // to (2)
        instruction(0x30, 0, 0, 0, 23), // (1) r0 = packet[23]: the protocol of IPv4
        instruction(0x15, 0, 0, 2, TCP), // (2) if r0 == TCP to (4)
        instruction(0xb7, 0, 0, 0, ON), // (3) r0 = on
        EXIT,
    ];
    program.extend(counting(counter)); // (4)
    program.extend([
        instruction(0xb7, 1, 0, 0, to.cast_signed()), // r1 = to
        instruction(0xb7, 2, 0, 0, 0),                // r2 = 0: the next hop is the one routes say
        instruction(0xb7, 3, 0, 0, 0),                // r3 = 0: the size of r2
        instruction(0xb7, 4, 0, 0, 0),                // r4 = 0: no flags
        instruction(0x85, 0, 0, 0, REDIRECT_NEIGH),   // r0 = redirect_neigh(r1, r2, r3, r4)
        EXIT,
    ]);
    program
}

/// `counter[0] += 1`.
fn counting(counter: i32) -> [u64; 9] {
    [
        instruction(0x62, 10, 0, -4, 0),     // *(u32 *)(r10 - 4) = 0
        instruction(0xbf, 2, 10, 0, 0),      // r2 = r10
        instruction(0x07, 2, 0, 0, -4),      // r2 += -4
        instruction(0x18, 1, 1, 0, counter), // r1 = map, in two words
        0,
        instruction(0x85, 0, 0, 0, LOOK_UP), // r0 = map_lookup_elem(r1, r2)
        instruction(0x15, 0, 0, 2, 0),       // if r0 == 0 skip two
        instruction(0xb7, 1, 0, 0, 1),       // r1 = 1
        instruction(0xdb, 0, 1, 0, 0),       // lock *(u64 *)r0 += r1
    ]
}

const fn instruction(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | ((src << 4 | dst) as u64) << 8
        | (offset.cast_unsigned() as u64) << 16
        | (immediate.cast_unsigned() as u64) << 32
}
