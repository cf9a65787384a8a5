//! Places on the earth, taken for a sphere.

/// Mean radius of the earth in metres (IUGG).
const EARTH_RADIUS: f64 = 6_371_008.8;

/// A point, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// North is positive; -90 to 90.
    pub lat: f64,
    /// East is positive; -180 to 180.
    pub lon: f64,
}

/// All places within a distance of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoRadius {
    /// From where.
    pub center: Place,
    /// How far, in metres; a place exactly so far away is within.
    pub metres: f64,
}

/// All places between two parallels and two meridians, edges included. When `west` is east of
/// `east`, it goes across the 180th meridian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoBox {
    /// The northern edge, in degrees of latitude.
    pub north: f64,
    /// The southern edge.
    pub south: f64,
    /// The western edge, in degrees of longitude.
    pub west: f64,
    /// The eastern edge.
    pub east: f64,
}

impl Place {
    /// Whether both numbers are in their ranges.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.lat.abs() <= 90.0 && self.lon.abs() <= 180.0
    }

    /// Metres to another place along a great circle (haversine: exact near, and to a few
    /// millimetres at the antipodes).
    #[must_use]
    pub fn metres_to(&self, other: &Self) -> f64 {
        let [lat, other_lat] = [self.lat.to_radians(), other.lat.to_radians()];
        let half_lat = ((other_lat - lat) / 2.0).sin();
        let half_lon = ((other.lon - self.lon).to_radians() / 2.0).sin();
        let chord = half_lat * half_lat + lat.cos() * other_lat.cos() * half_lon * half_lon;
        2.0 * EARTH_RADIUS * chord.sqrt().min(1.0).asin()
    }
}

impl GeoRadius {
    /// Whether a place is within.
    #[must_use]
    pub fn contains(&self, place: &Place) -> bool {
        self.center.metres_to(place) <= self.metres
    }
}

impl GeoBox {
    /// Whether a place is within. All meridians meet at the poles.
    #[must_use]
    pub fn contains(&self, place: &Place) -> bool {
        if place.lat > self.north || place.lat < self.south {
            return false;
        }
        let is_pole = place.lat.abs() == 90.0;
        let west = place.lon >= self.west;
        let east = place.lon <= self.east;
        // 180 and -180 are one meridian.
        let seam = place.lon.abs() == 180.0 && (self.west == -180.0 || self.east == 180.0);
        is_pole
            || seam
            || if self.west <= self.east {
                west && east
            } else {
                west || east
            }
    }
}

#[cfg(test)]
mod tests {
    use super::{EARTH_RADIUS, GeoBox, GeoRadius, Place};

    fn place(lat: f64, lon: f64) -> Place {
        Place { lat, lon }
    }

    #[test]
    fn distances_are_those_of_a_sphere() {
        let quarter = EARTH_RADIUS * std::f64::consts::FRAC_PI_2;
        let cases = [
            (place(0.0, 0.0), place(0.0, 90.0), quarter),
            (place(0.0, 0.0), place(90.0, 12.0), quarter),
            (place(0.0, 179.0), place(0.0, -179.0), quarter / 45.0),
            (place(89.0, 0.0), place(89.0, 180.0), quarter / 45.0),
            (place(45.0, 10.0), place(-45.0, -170.0), 2.0 * quarter),
            (place(48.8584, 2.2945), place(48.8584, 2.2945), 0.0),
        ];
        for (a, b, expected) in cases {
            let gap = (a.metres_to(&b) - expected).abs();
            assert!(gap < 0.01, "{a:?} to {b:?}: {gap} m off");
            assert_eq!(a.metres_to(&b), b.metres_to(&a));
        }
    }

    #[test]
    fn a_radius_goes_across_the_date_line_and_the_poles() {
        let fiji = GeoRadius {
            center: place(-17.0, 179.9),
            metres: 50_000.0,
        };
        assert!(fiji.contains(&place(-17.0, -179.9)));
        assert!(!fiji.contains(&place(-17.0, 178.0)));
        let pole = GeoRadius {
            center: place(89.9, 0.0),
            metres: 50_000.0,
        };
        assert!(pole.contains(&place(89.9, 180.0)));
    }

    #[test]
    fn a_box_may_go_across_the_date_line() {
        let pacific = GeoBox {
            north: 10.0,
            south: -10.0,
            west: 170.0,
            east: -170.0,
        };
        for (lon, within) in [(175.0, true), (-175.0, true), (180.0, true), (0.0, false)] {
            assert_eq!(pacific.contains(&place(0.0, lon)), within, "{lon}");
        }
        assert!(!pacific.contains(&place(10.1, 175.0)));
        let west = GeoBox {
            north: 90.0,
            south: 0.0,
            west: -180.0,
            east: -90.0,
        };
        assert!(
            west.contains(&place(5.0, 180.0)),
            "the same meridian as -180"
        );
        assert!(
            west.contains(&place(90.0, 45.0)),
            "the pole is on every meridian"
        );
        assert!(!west.contains(&place(5.0, 179.9)));
    }
}
