//! Scores and ranks every ten seconds, and logs the cycles; LED 1 is on meanwhile.

#![no_std]
#![no_main]

use cortex_m::Peripherals;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_time::Timer;
use panic_probe as _;
use programs::board::Board;

/// The CPU's clock, which cannot be changed.
const HZ: u32 = 64_000_000;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let kit = embassy_nrf::init(embassy_nrf::config::Config::default());
    let Some(mut cpu) = Peripherals::take() else { defmt::panic!("the CPU's peripherals are taken") };
    // The LEDs of the kit light when the pin is low.
    let mut led = Output::new(kit.P0_13, Level::High, OutputDrive::Standard);
    let mut board = Board::start(&mut cpu.DCB, &mut cpu.DWT, HZ);
    loop {
        led.set_low();
        board.report();
        led.set_high();
        Timer::after_secs(10).await;
    }
}
