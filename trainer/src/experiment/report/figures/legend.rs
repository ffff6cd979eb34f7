//! What must hold of every legend, for tests.
#![allow(clippy::unwrap_used, reason = "tests")]

/// The number of an attribute of a tag.
fn attribute(tag: &str, name: &str) -> f64 {
    let value = tag.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    value.parse().unwrap()
}

/// All of a legend's lines that begin so are in the picture, and right of its first `plot` pixels; no line of the plot
/// is there.
pub(super) fn check_legend(svg: &str, plot: u32, beginning: &str) {
    let picture = svg.lines().find(|line| line.starts_with("<svg")).unwrap();
    let (width, height) = (attribute(picture, "width"), attribute(picture, "height"));
    let all: Vec<&str> = svg.lines().collect();
    let mut found = 0;
    for pair in all.windows(2).filter(|pair| pair[1].trim().starts_with(beginning)) {
        found += 1;
        let (x, y) = (attribute(pair[0], "x"), attribute(pair[0], "y"));
        assert!(x > f64::from(plot) && x < width && y > 0.0 && y < height, "{} in {width} x {height}", pair[0]);
        // Letters of 11 pixels are about 6 wide.
        assert!(x + pair[1].trim().len() as f64 * 6.0 <= width, "{}", pair[1]);
    }
    assert!(found > 0, "no {beginning} in {svg}");
    let (mut inside, border) = (0, f64::from(plot));
    for line in all.iter().filter_map(|line| line.split("points=\"").nth(1)) {
        let pairs = line.split('"').next().unwrap().split_whitespace();
        let x: Vec<f64> = pairs.map(|pair| pair.split_once(',').unwrap().0.parse().unwrap()).collect();
        inside += usize::from(x.iter().all(|x| *x < border));
        assert!(x.iter().all(|x| *x < border) || x.iter().all(|x| *x > border), "across {border}: {line}");
    }
    assert!(inside > 0, "{svg}");
}
