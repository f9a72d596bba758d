//! Arithmetic and comparisons (RFC 9669, 4).

use anyhow::bail;

/// The operation of an instruction's code.
const fn operation(code: u8) -> u8 {
    code & 0xf0
}

/// Whether an arithmetic instruction changes the order of bytes.
pub(super) const fn is_swap(code: u8) -> bool {
    operation(code) == 0xd0
}

/// Whether the second operand is a register rather than a constant.
pub(super) const fn of_register(code: u8) -> bool {
    code & 0x08 != 0
}

/// The result of an arithmetic instruction. `wide` ones are of 64 bits, the others of 32, whose
/// upper half is zero after.
pub(super) fn compute(
    code: u8,
    wide: bool,
    signed: i16,
    one: u64,
    other: u64,
) -> anyhow::Result<u64> {
    if is_swap(code) {
        return swap(code, wide, one, other);
    }
    if wide {
        return arithmetic(operation(code), signed, one, other, 64);
    }
    let (one, other) = (u64::from(one as u32), u64::from(other as u32));
    Ok(u64::from(
        arithmetic(operation(code), signed, one, other, 32)? as u32,
    ))
}

fn arithmetic(operation: u8, signed: i16, one: u64, other: u64, bits: u32) -> anyhow::Result<u64> {
    let shift = (other % u64::from(bits)) as u32;
    Ok(match (operation, signed) {
        (0x00, _) => one.wrapping_add(other),
        (0x10, _) => one.wrapping_sub(other),
        (0x20, _) => one.wrapping_mul(other),
        (0x30, 0) => one.checked_div(other).unwrap_or(0),
        (0x40, _) => one | other,
        (0x50, _) => one & other,
        (0x60, _) => one << shift,
        (0x70, _) => one >> shift,
        (0x80, _) => one.wrapping_neg(),
        (0x90, 0) => one.checked_rem(other).unwrap_or(one),
        (0xa0, _) => one ^ other,
        (0xb0, 0) => other,
        (0xb0, from) => extend(other, from as u32),
        (0xc0, _) if bits == 32 => u64::from((one as i32 >> shift) as u32),
        (0xc0, _) => (one as i64 >> shift) as u64,
        _ => bail!("arithmetic {operation:#x} with offset {signed}"),
    })
}

/// Extends the sign of a number of so many bits.
pub(super) fn extend(number: u64, bits: u32) -> u64 {
    let unused = 64 - bits;
    ((number << unused) as i64 >> unused) as u64
}

/// Changes the order of bytes; this machine's is the little-endian one.
fn swap(code: u8, always: bool, number: u64, bits: u64) -> anyhow::Result<u64> {
    let swaps = always || of_register(code);
    Ok(match (bits, swaps) {
        (16, true) => u64::from((number as u16).swap_bytes()),
        (32, true) => u64::from((number as u32).swap_bytes()),
        (64, true) => number.swap_bytes(),
        (16, false) => u64::from(number as u16),
        (32, false) => u64::from(number as u32),
        (64, false) => number,
        _ => bail!("a swap of {bits} bits"),
    })
}

/// Whether a conditional jump is taken.
pub(super) fn holds(code: u8, wide: bool, one: u64, other: u64) -> anyhow::Result<bool> {
    let (one, other, signed) = if wide {
        (one, other, (one as i64, other as i64))
    } else {
        let (one, other) = (one as u32, other as u32);
        let signed = (i64::from(one as i32), i64::from(other as i32));
        (u64::from(one), u64::from(other), signed)
    };
    Ok(match operation(code) {
        0x10 => one == other,
        0x20 => one > other,
        0x30 => one >= other,
        0x40 => one & other != 0,
        0x50 => one != other,
        0x60 => signed.0 > signed.1,
        0x70 => signed.0 >= signed.1,
        0xa0 => one < other,
        0xb0 => one <= other,
        0xc0 => signed.0 < signed.1,
        0xd0 => signed.0 <= signed.1,
        unknown => bail!("a jump {unknown:#x}"),
    })
}
