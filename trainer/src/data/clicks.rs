//! A click log as people have it, whose truth is known: names, a bag of genres, a price, a time.
//!
//! ```text
//! logit = planted(user, item, genre, city, device, hour) - (d^2 - E d^2) / (2 WIDTH^2)      d = ln(price) - b_user
//! ```
//!
//! An item's genres and usual price are its own; the truth knows the first genre. b_user is the logarithm of what a
//! user likes to spend: a smooth effect, which a model can only learn of a number that it takes for one.

use std::fmt::Write as _;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::planted::{Planted, mix, uniform};

/// The columns of the file.
pub(super) const HEADER: &str = "time,user,item,genres,price,city,device,click";

const USERS: u32 = 2000;
const ITEMS: u32 = 600;
const GENRES: [&str; 12] = [
    "action",
    "comedy",
    "documentary",
    "drama",
    "family",
    "fantasy",
    "film noir",
    "horror",
    "music",
    "romance",
    "science fiction",
    "western",
];
const CITIES: [&str; 8] = ["Berlin", "København", "Kraków", "Lyon", "München", "Porto", "東京", "Zürich"];
const DEVICES: [&str; 3] = ["phone", "tablet", "television"];
/// Of the truth's fields: user, item, genre, city, device, hour.
const SIZES: [u32; 6] = [USERS, ITEMS, GENRES.len() as u32, CITIES.len() as u32, DEVICES.len() as u32, 24];

/// 1 January 2026, 00:00 UTC, and how long the log is.
const FIRST_SECOND: u64 = 1_767_225_600;
const DAYS: u64 = 28;
const SECONDS_OF_DAY: u64 = 86_400;

/// Logarithm of the prices' median, and deviations of items around it, of rows around their item, and of what users
/// like to spend.
const USUAL_PRICE: f64 = 2.0;
const ITEM_DEVIATION: f64 = 0.8;
const ROW_DEVIATION: f64 = 0.15;
const USER_DEVIATION: f64 = 0.5;
/// How far from b_user a price costs half a unit of the logit.
const WIDTH: f64 = 0.7;
/// The share of rows without a price, whose effect is 0.
const WITHOUT_PRICE: f64 = 0.02;

/// The truth of a click log.
#[derive(Debug)]
pub(super) struct Clicks {
    seed: u64,
    planted: Planted,
}

impl Clicks {
    /// `strength` and `click_rate` are those of the planted part; prices make clicks easier to predict.
    pub(super) fn new(seed: u64, strength: f64, click_rate: f64) -> Self {
        Clicks { seed, planted: Planted::new(seed, SIZES.into(), strength, click_rate) }
    }

    /// The random numbers of a block of rows.
    pub(super) fn random(&self, block: u64) -> Xoshiro256PlusPlus {
        self.planted.random(block)
    }

    /// Draws row `number` of `rows`: its text but for the click, and the truth's logit. Times go forward.
    pub(super) fn draw(&self, random: &mut Xoshiro256PlusPlus, number: u64, rows: u64) -> (String, f64) {
        let mut indices = [0; SIZES.len()];
        self.planted.draw(random, &mut indices);
        let [user, item, ..] = indices;
        let second = (u128::from(number) * u128::from(DAYS * SECONDS_OF_DAY) / u128::from(rows)) as u64;
        let genres = self.genres(item);
        (indices[2], indices[5]) = (genres[0], (second % SECONDS_OF_DAY / 3600) as u32);
        let price = (random.random::<f64>() >= WITHOUT_PRICE).then(|| {
            let [of_item, _] = self.number(1, item);
            let log = USUAL_PRICE + ITEM_DEVIATION * of_item + ROW_DEVIATION * normal(random);
            (log.exp() * 100.0).round().max(1.0) / 100.0
        });
        let mut logit = self.planted.logit(0.0, &indices);
        if let Some(price) = price {
            let [of_user, _] = self.number(2, user);
            let distance = price.ln() - USUAL_PRICE - USER_DEVIATION * of_user;
            let mean = ITEM_DEVIATION.powi(2) + ROW_DEVIATION.powi(2) + USER_DEVIATION.powi(2);
            logit += (mean - distance * distance) / (2.0 * WIDTH * WIDTH);
        }
        let names: Vec<&str> = genres.iter().filter_map(|&genre| GENRES.get(genre as usize).copied()).collect();
        let mut text = time(FIRST_SECOND + second);
        let of = |names: &[&'static str], index: u32| names.get(index as usize).copied().unwrap_or_default();
        let price = price.map_or_else(String::new, |price| format!("{price:.2}"));
        let (city, device) = (of(&CITIES, indices[3]), of(&DEVICES, indices[4]));
        // Writing to a string cannot fail.
        let _ = write!(text, ",user {user},item {item},{},{price},{city},{device}", names.join("|"));
        (text, logit)
    }

    /// One to three genres of an item, without repetition; the first one is the truth's.
    fn genres(&self, item: u32) -> Vec<u32> {
        let bits = mix(self.seed ^ 3 << 40 ^ u64::from(item));
        let mut genres = Vec::with_capacity(3);
        for part in 0..=bits % 3 {
            let genre = (bits >> (8 + 16 * part)) as u32 % GENRES.len() as u32;
            if !genres.contains(&genre) {
                genres.push(genre);
            }
        }
        genres
    }

    /// Two numbers of mean 0 and variance 1 that belong to `index` of `what`.
    fn number(&self, what: u64, index: u32) -> [f64; 2] {
        uniform(mix(self.seed ^ what << 40 ^ u64::from(index))).map(f64::from)
    }
}

/// About normal: the sum of twelve uniform numbers has variance 1.
fn normal(random: &mut Xoshiro256PlusPlus) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

/// `2026-01-05T09:30:00Z`, of a second in January 2026.
fn time(second: u64) -> String {
    let of_log = second - FIRST_SECOND;
    let (day, rest) = (of_log / SECONDS_OF_DAY + 1, of_log % SECONDS_OF_DAY);
    format!("2026-01-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
