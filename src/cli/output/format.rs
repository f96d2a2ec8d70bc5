//! Numbers that change while they are looked at, rates, times. Sizes that stay are [`size`](crate::base::size::size).

use crate::base::rate::ByteRate;
use crate::base::size::Unit;
use crate::base::time::Duration;

/// A size that grows, as `1.0 GiB`: what follows stays in its column.
pub fn growing(bytes: u64) -> String {
    let unit = Unit::of(bytes);
    format!("{} {}", unit.number(bytes), unit.name())
}

/// A part of a whole in the whole's unit, as `3.1/4.9 GiB`.
pub fn part_of(part: u64, whole: u64) -> String {
    let unit = Unit::of(whole);
    format!("{}/{} {}", unit.number(part), unit.number(whole), unit.name())
}

/// A rate, as `98.2 MiB/s`.
pub fn rate(rate: ByteRate) -> String {
    format!("{}/s", growing(rate.0))
}

/// A share in percent, rounded down: `100.0%` is only what is whole.
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = if whole == 0 { 1000 } else { u128::from(part) * 1000 / u128::from(whole) };
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// Time as a clock shows it: `0:19`, `12:05`, `1:02:03`; days as `3 d`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        1..48 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{} d", hours / 24),
    }
}

/// Time in words: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 7 min`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1 piece`, `2 pieces`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_step_by_1024_and_never_show_1024() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(growing(count), shown);
        }
        assert_eq!(part_of(3_328_599_654, 5_261_334_938), "3.1/4.9 GiB");
        assert_eq!(part_of(0, 0), "0/0 B");
    }

    #[test]
    fn nothing_short_of_everything_is_a_hundred_percent() {
        assert_eq!(percent(999_999, 1_000_000), "99.9%");
        assert_eq!(percent(5, 5), "100.0%");
        assert_eq!(percent(0, 0), "100.0%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0%");
        assert_eq!(percent(623, 1000), "62.3%");
    }

    #[test]
    fn times_read_like_a_clock_or_like_words() {
        for (seconds, on_clock, in_words) in [
            (0.44, "0:00", "0.4 s"),
            (19.0, "0:19", "19 s"),
            (725.0, "12:05", "12 min 5 s"),
            (60.0, "1:00", "1 min"),
            (3723.0, "1:02:03", "1 h 2 min"),
            (300_000.0, "3 d", "83 h 20 min"),
        ] {
            let time = Duration::from_secs_f64(seconds);
            assert_eq!((clock(time).as_str(), span(time).as_str()), (on_clock, in_words));
        }
    }
}
