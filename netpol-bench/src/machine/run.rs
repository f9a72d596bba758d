//! One instruction after the other (RFC 9669).

use anyhow::{Context, bail};
use aya_obj::generated::bpf_insn;
use netpol_common::Direction;
use netpol_common::maps::{FROM_ENDPOINT, TO_ENDPOINT};

use super::helpers::World;
use super::{Machine, Run, alu};

pub(super) type Registers = [u64; 11];

/// What refers to a map: this and its number. No address of memory is as high.
pub(super) const MAP: u64 = 1 << 48;

/// Bytes of stack that each function has.
const STACK: usize = 512;
/// Functions that may have called one another.
const DEPTH: usize = 8;
/// A program that goes on for longer is in a loop.
const PATIENCE: u64 = 1_000_000;

/// `struct __sk_buff`: its size, and where what programs read of it stands.
const CONTEXT: usize = 192;
mod offset {
    pub(super) const LENGTH: usize = 0;
    pub(super) const INGRESS_IFINDEX: usize = 36;
    pub(super) const IFINDEX: usize = 40;
    pub(super) const DATA: usize = 76;
    pub(super) const DATA_END: usize = 80;
    pub(super) const SOCKET: usize = 168;
}
/// What stands for a socket: programs only ask whether there is one.
const SOME_SOCKET: u64 = 1 << 49;

/// Where a function was called: what it needs when the other one is done.
struct Frame {
    back: usize,
    saved: [u64; 4],
    stack: u64,
}

impl Machine {
    /// Runs a program on a packet.
    ///
    /// # Errors
    ///
    /// The program does what the verifier would not allow, or this machine does not know.
    pub fn run(
        &mut self,
        direction: Direction,
        ifindex: u32,
        packet: &[u8],
        local_socket: bool,
    ) -> anyhow::Result<Run> {
        let lasting = self.memory.regions();
        let outcome = self.run_on(direction, ifindex, packet, local_socket);
        self.memory.forget_after(lasting);
        outcome
    }

    fn run_on(
        &mut self,
        direction: Direction,
        ifindex: u32,
        packet: &[u8],
        local_socket: bool,
    ) -> anyhow::Result<Run> {
        let name = match direction {
            Direction::Egress => FROM_ENDPOINT,
            Direction::Ingress => TO_ENDPOINT,
        };
        let code = self.programs.get(name).context("the program")?.clone();
        let data = self.memory.region(packet.to_vec())?;
        let mut context = [0; CONTEXT];
        let mut word =
            |at: usize, word: u32| context[at..at + 4].copy_from_slice(&word.to_le_bytes());
        word(offset::LENGTH, packet.len() as u32);
        word(offset::IFINDEX, ifindex);
        word(
            offset::INGRESS_IFINDEX,
            if local_socket { 0 } else { ifindex },
        );
        word(offset::DATA, data as u32);
        word(offset::DATA_END, data as u32 + packet.len() as u32);
        if local_socket {
            let socket = SOME_SOCKET.to_le_bytes();
            context[offset::SOCKET..offset::SOCKET + 8].copy_from_slice(&socket);
        }
        let context = self.memory.region(context.to_vec())?;
        let stack = self.memory.region(vec![0; STACK * DEPTH])?;
        let mut world = World {
            packet: (data, packet.len()),
            reserved: Vec::new(),
        };
        let mut run = Run::default();
        self.follow(&code, context, stack + STACK as u64, &mut world, &mut run)
            .with_context(|| format!("{name}, instruction {}", run.instructions))?;
        if !world.reserved.is_empty() {
            bail!("{name} ends without sending a record that it reserved");
        }
        Ok(run)
    }

    fn follow(
        &mut self,
        code: &[bpf_insn],
        context: u64,
        stack: u64,
        world: &mut World,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        let mut registers: Registers = [0; 11];
        registers[1] = context;
        registers[10] = stack;
        let mut frames: Vec<Frame> = Vec::new();
        let mut next = 0;
        loop {
            let instruction = code.get(next).context("behind the last instruction")?;
            next += 1;
            run.instructions += 1;
            if run.instructions > PATIENCE {
                bail!("the program does not end");
            }
            let to = instruction.dst_reg() as usize;
            let from = instruction.src_reg() as usize;
            let constant = i64::from(instruction.imm) as u64;
            let second = if alu::of_register(instruction.code) {
                registers[from]
            } else {
                constant
            };
            match instruction.code & 7 {
                0 => {
                    let upper = code.get(next).context("the second half of a constant")?.imm;
                    next += 1;
                    registers[to] = self.constant(instruction, upper)?;
                }
                1 => {
                    let address = displaced(registers[from], instruction.off);
                    let length = length(instruction.code);
                    let word = self.memory.load(address, length)?;
                    registers[to] = match instruction.code & 0xe0 {
                        0x60 => word,
                        0x80 => alu::extend(word, length as u32 * 8),
                        mode => bail!("a load of mode {mode:#x}"),
                    };
                }
                2 => {
                    let address = displaced(registers[to], instruction.off);
                    self.memory
                        .store(address, length(instruction.code), constant)?;
                }
                3 if instruction.code & 0xe0 == 0x60 => {
                    let address = displaced(registers[to], instruction.off);
                    self.memory
                        .store(address, length(instruction.code), registers[from])?;
                }
                3 => self.atomic(instruction, &mut registers)?,
                4 | 7 => {
                    let code = instruction.code;
                    let wide = code & 7 == 7;
                    // Of a swap, the bit that says "register" says which order, and the constant
                    // how many bits.
                    let second = if alu::is_swap(code) { constant } else { second };
                    registers[to] =
                        alu::compute(code, wide, instruction.off, registers[to], second)?;
                }
                class => match instruction.code & 0xf0 {
                    0x00 if class == 5 => next = jump(next, i32::from(instruction.off))?,
                    0x00 => next = jump(next, instruction.imm)?,
                    0x80 if from == 0 => {
                        let (result, name) = self.call(instruction.imm, &registers, world)?;
                        *run.calls.entry(name).or_default() += 1;
                        registers[0] = result;
                    }
                    0x80 if from == 1 => {
                        if frames.len() + 1 == DEPTH {
                            bail!("functions call one another too deep");
                        }
                        frames.push(Frame {
                            back: next,
                            saved: [registers[6], registers[7], registers[8], registers[9]],
                            stack: registers[10],
                        });
                        registers[10] += STACK as u64;
                        next = jump(next, instruction.imm)?;
                    }
                    0x80 => bail!("a call of kind {from}"),
                    0x90 => match frames.pop() {
                        Some(frame) => {
                            registers[6..10].copy_from_slice(&frame.saved);
                            registers[10] = frame.stack;
                            next = frame.back;
                        }
                        None => {
                            run.value = registers[0] as i32;
                            return Ok(());
                        }
                    },
                    _ => {
                        if alu::holds(instruction.code, class == 5, registers[to], second)? {
                            next = jump(next, i32::from(instruction.off))?;
                        }
                    }
                },
            }
        }
    }

    /// A constant of 64 bits, which may stand for a map or for a place in one.
    fn constant(&self, instruction: &bpf_insn, upper: i32) -> anyhow::Result<u64> {
        let number = || usize::try_from(instruction.imm).context("the number of a map");
        Ok(match instruction.src_reg() {
            0 => u64::from(instruction.imm as u32) | (upper as u64) << 32,
            1 => MAP + number()? as u64,
            2 => {
                let map = self.maps.get(number()?).context("the map of a global")?;
                map.values() + u64::from(upper as u32)
            }
            kind => bail!("a constant of kind {kind}"),
        })
    }

    fn atomic(&mut self, instruction: &bpf_insn, registers: &mut Registers) -> anyhow::Result<()> {
        const ADD: i32 = 0;
        const FETCH: i32 = 1;
        let address = displaced(registers[instruction.dst_reg() as usize], instruction.off);
        let from = instruction.src_reg() as usize;
        let length = length(instruction.code);
        let was = self.memory.load(address, length)?;
        if instruction.imm & !FETCH != ADD {
            bail!("an atomic operation {:#x}", instruction.imm);
        }
        self.memory
            .store(address, length, was.wrapping_add(registers[from]))?;
        if instruction.imm & FETCH != 0 {
            registers[from] = was;
        }
        Ok(())
    }
}

/// Bytes that a load or store moves.
const fn length(code: u8) -> usize {
    match code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

const fn displaced(address: u64, by: i16) -> u64 {
    address.wrapping_add(by as u64)
}

fn jump(next: usize, by: i32) -> anyhow::Result<usize> {
    let to = next as i64 + i64::from(by);
    usize::try_from(to).context("a jump before the first instruction")
}
