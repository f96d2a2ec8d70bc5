//! Sizes for people, in steps of 1024.

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A unit of size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unit(usize);

impl Unit {
    /// The unit that fits `bytes`.
    pub fn of(bytes: u64) -> Unit {
        let mut unit = Unit(0);
        // What would be rounded to 1024.0 is 1.0 of the next unit.
        while unit.0 + 1 < UNITS.len() && unit.scaled(bytes) >= 1023.95 {
            unit.0 += 1;
        }
        unit
    }

    /// What it is called: `MiB`.
    pub fn name(self) -> &'static str {
        UNITS[self.0]
    }

    /// `bytes` in this unit, always with one digit behind the point, but for single bytes: `1.0`.
    pub fn number(self, bytes: u64) -> String {
        if self.0 == 0 { bytes.to_string() } else { format!("{:.1}", self.scaled(bytes)) }
    }

    fn scaled(self, bytes: u64) -> f64 {
        bytes as f64 / 1024_f64.powi(self.0 as i32)
    }
}

/// `bytes` in the unit that fits: `512 B`, `1 KiB`, `3.1 GiB`.
pub fn size(bytes: u64) -> String {
    let unit = Unit::of(bytes);
    let number = unit.number(bytes);
    format!("{} {}", number.strip_suffix(".0").unwrap_or(&number), unit.name())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_is_shown_in_the_unit_that_fits() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1 MiB"),
            (256 * 1024, "256 KiB"),
            (5_261_334_938, "4.9 GiB"),
            (5 << 30, "5 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
