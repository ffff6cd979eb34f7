//! Integers of many values: names of things, which are categories, or amounts, which are numbers.
//!
//! An amount has neighbours that mean nearly the same, so that buckets lose little of it. In a bucket of a thousand
//! users nobody is known again.

/// What integers name. A column whose name ends in one of these words, alone or with `id` behind it, numbers such
/// things.
const THINGS: &str = "\
    account ad advertiser album app article artist author book brand campaign category channel city client code \
    country creative customer device film genre group item member merchant movie postcode product publisher query \
    region seller session shop site song store tag track user video zip";
/// What integers count or measure: a column with one of these words in its name is no list of things.
const AMOUNTS: &str = "\
    age amount balance bid budget clicks cost count counts day days distance duration fee followers following \
    height hour hours impressions income length likes minute minutes month n num position price qty quantity rank \
    rating ratio revenue salary score second seconds size speed sum temperature time timestamp total views visits \
    volume weight width year";
/// So many different integers are needed before it tells anything that they are dense: ages and days are too.
const MANY: usize = 300;
/// Where this share of a range is there, it is dense. Amounts have few large values, far from each other.
const DENSE: f64 = 0.75;

/// Why the integers of a column are names of things, by the column's name, and by how many different ones there are
/// from the smallest to the largest; `None` where nothing speaks for it.
pub(super) fn names(column: &str, different: usize, [smallest, largest]: [f64; 2]) -> Option<&'static str> {
    let words = words(column);
    if words.last().is_some_and(|last| is_name(last)) {
        return Some("Categories, not amounts: by the column's name these integers stand for things.");
    }
    let is_amount = words.iter().any(|word| has(AMOUNTS, word));
    let is_dense = different > MANY && different as f64 >= DENSE * (largest - smallest + 1.0);
    (is_dense && !is_amount).then_some(
        "Categories, not amounts: nearly every integer of their range is there, as where things are numbered.",
    )
}

fn is_name(word: &str) -> bool {
    let is_thing = |word: &str| has(THINGS, word);
    matches!(word, "id" | "uid") || is_thing(word) || word.strip_suffix("id").is_some_and(is_thing)
}

fn has(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

/// The words of a name, in small letters and without digits: `userID`, `user_id` and `User Id 2` have the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if !letter.is_alphabetic() || (was_small && letter.is_uppercase()) {
            words.push(String::new());
        }
        was_small = letter.is_lowercase();
        if let (true, Some(word)) = (letter.is_alphabetic(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_of_columns_and_dense_integers_tell_things_from_amounts() {
        let sparse = [0.0, 1e6];
        for name in
            ["id", "user", "item", "user_id", "userId", "userID", "USER_ID", "movieid", "Ad ID 2", "zip", "age_group"]
        {
            assert!(names(name, 500, sparse).is_some(), "{name}");
        }
        // `bid`, `paid` and `valid` end in the letters of `id`.
        for name in ["age", "price", "views", "item_count", "n_users", "bid", "paid", "valid", "C12", "7", ""] {
            assert!(names(name, 500, sparse).is_none(), "{name}");
        }
        for (name, different, range, expected) in [
            ("C12", 4082, [0.0, 4081.0], true),
            ("7", 4082, [1.0, 5000.0], true),
            ("C12", 4082, [0.0, 9000.0], false),
            ("C12", 120, [0.0, 119.0], false),
            ("price", 977, [0.0, 976.0], false),
            ("clickHour", 977, [0.0, 976.0], false),
        ] {
            assert_eq!(names(name, different, range).is_some(), expected, "{name} {different} {range:?}");
        }
    }
}
