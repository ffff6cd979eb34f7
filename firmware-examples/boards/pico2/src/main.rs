//! Scores and ranks every ten seconds, and logs the cycles; the LED is on meanwhile.

#![no_std]
#![no_main]

use cortex_m::Peripherals;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_rp::clocks::clk_sys_freq;
use embassy_rp::gpio::{Level, Output};
use embassy_time::Timer;
use panic_probe as _;
use programs::board::Board;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let pico = embassy_rp::init(embassy_rp::config::Config::default());
    let Some(mut cpu) = Peripherals::take() else { defmt::panic!("the CPU's peripherals are taken") };
    let mut led = Output::new(pico.PIN_25, Level::Low);
    let mut board = Board::start(&mut cpu.DCB, &mut cpu.DWT, clk_sys_freq());
    loop {
        led.set_high();
        board.report();
        led.set_low();
        Timer::after_secs(10).await;
    }
}
