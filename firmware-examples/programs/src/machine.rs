//! What differs from one kind of CPU to another: how a program starts, and the clock by which its instructions are
//! counted.
//!
//! Where the emulator's clock moves by a fixed time per instruction (QEMU's `-icount`), time is a count of instructions
//! that repeats exactly.

#[cfg(target_arch = "arm")]
use arm as cpu;
#[cfg(target_arch = "riscv32")]
use riscv32 as cpu;

pub use cpu::entry;

use crate::stop;

/// Instructions of the loop that ticks of the clock are compared with.
const LOOP: u32 = 1 << 20;

/// Counts instructions.
#[derive(Debug)]
pub struct Counter {
    clock: cpu::Clock,
    ticks_of_loop: u64,
}

impl Counter {
    /// Starts the clock, and finds out what an instruction takes.
    pub fn start() -> Self {
        let mut counter = Counter { clock: cpu::Clock::start(), ticks_of_loop: 0 };
        counter.ticks_of_loop = counter.ticks(|| cpu::run(LOOP)).0;
        if counter.ticks_of_loop == 0 {
            stop("the clock", "stands still");
        }
        counter
    }

    /// The instructions of some work, and what it gives.
    pub fn count<T>(&mut self, work: impl FnOnce() -> T) -> (u64, T) {
        let (ticks, result) = self.ticks(work);
        ((ticks * u64::from(LOOP) + self.ticks_of_loop / 2) / self.ticks_of_loop, result)
    }

    fn ticks<T>(&mut self, work: impl FnOnce() -> T) -> (u64, T) {
        let start = self.clock.now();
        let result = work();
        (self.clock.now() - start, result)
    }
}

#[cfg(target_arch = "arm")]
mod arm {
    use core::sync::atomic::{AtomicU32, Ordering};

    use cortex_m::Peripherals;
    use cortex_m::asm::delay;
    use cortex_m::peripheral::SYST;
    use cortex_m::peripheral::syst::SystClkSource;
    pub use cortex_m_rt::entry;
    use cortex_m_rt::exception;

    use crate::stop;

    /// SysTick counts down in 24 bits.
    const PERIOD: u32 = 1 << 24;
    static WRAPS: AtomicU32 = AtomicU32::new(0);

    #[exception]
    fn SysTick() {
        // Nobody else writes: a load and a store will do, which every Cortex-M has.
        WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// SysTick, and how often it began anew.
    #[derive(Debug)]
    pub(super) struct Clock;

    impl Clock {
        pub(super) fn start() -> Self {
            let Some(Peripherals { SYST: mut timer, .. }) = Peripherals::take() else {
                stop("the timer", "taken twice")
            };
            timer.set_clock_source(SystClkSource::Core);
            timer.set_reload(PERIOD - 1);
            timer.clear_current();
            timer.enable_counter();
            timer.enable_interrupt();
            Clock
        }

        pub(super) fn now(&self) -> u64 {
            loop {
                let wraps = WRAPS.load(Ordering::Relaxed);
                let left = SYST::get_current();
                if wraps == WRAPS.load(Ordering::Relaxed) {
                    return (u64::from(wraps) + 1) * u64::from(PERIOD) - u64::from(left);
                }
            }
        }
    }

    /// Takes so many instructions: two in each turn of its loop, whose turns are its argument's count.
    pub(super) fn run(instructions: u32) {
        delay(instructions / 2);
    }
}

#[cfg(target_arch = "riscv32")]
mod riscv32 {
    use riscv::asm::delay;
    use riscv::register::mcycle;
    pub use riscv_rt::entry;

    /// The CPU's own counter.
    #[derive(Debug)]
    pub(super) struct Clock;

    impl Clock {
        pub(super) fn start() -> Self {
            Clock
        }

        pub(super) fn now(&self) -> u64 {
            mcycle::read64()
        }
    }

    /// Takes so many instructions: two in each turn of its loop, a turn for two of its argument's count.
    pub(super) fn run(instructions: u32) {
        delay(instructions);
    }
}
