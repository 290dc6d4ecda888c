//! `/metrics` as Prometheus has it: a name, labels, a number a line.

use std::collections::BTreeMap;

/// See the module. Labels are kept for histograms' buckets only; what differs by others is added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    sums: BTreeMap<String, f64>,
    /// By name: upper bounds, and the observations up to each.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    /// When it was read: seconds since 1970 of this machine's clock.
    at_s: Option<f64>,
}

impl Metrics {
    /// Reads a page. What is no sample is passed over.
    pub fn parse(text: &str) -> Metrics {
        let mut metrics = Metrics::default();
        text.lines().for_each(|line| metrics.add(line));
        metrics
    }

    /// With the moment at which it was read.
    #[must_use]
    pub fn read_at(self, at_s: f64) -> Metrics {
        Metrics { at_s: Some(at_s), ..self }
    }

    /// Reads a line.
    pub(super) fn add(&mut self, line: &str) {
        let Some((what, value)) = line.rsplit_once(' ') else { return };
        let Ok(value) = value.parse::<f64>() else { return };
        let (name, labels) = what.split_once('{').unwrap_or((what, ""));
        let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        match (name.strip_suffix("_bucket"), bound.map(str::parse::<f64>)) {
            _ if what.starts_with('#') => {}
            (Some(name), Some(Ok(bound))) => self.add_to_bucket(name, bound, value),
            _ => *self.sums.entry(name.to_owned()).or_default() += value,
        }
    }

    /// Seconds since the process started.
    pub fn up_s(&self) -> Option<f64> {
        Some(self.at_s? - self.sum("process_start_time_seconds")?)
    }

    fn add_to_bucket(&mut self, name: &str, bound: f64, value: f64) {
        let buckets = self.buckets.entry(name.to_owned()).or_default();
        match buckets.iter_mut().find(|(other, _)| *other == bound) {
            Some((_, count)) => *count += value,
            None => buckets.push((bound, value)),
        }
    }

    /// A counter or gauge, over all labels.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.sums.get(name).copied()
    }

    /// A histogram.
    pub fn histogram(&self, name: &str) -> Option<Histogram> {
        self.buckets.get(name).map(|buckets| Histogram { buckets: buckets.clone() })
    }
}

/// Counts up to each bound, the last of which is infinite.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// What came after an earlier state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let before = |bound: f64| earlier.buckets.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, n)| *n);
        Histogram { buckets: self.buckets.iter().map(|(bound, n)| (*bound, n - before(*bound))).collect() }
    }

    /// Observations.
    pub fn count(&self) -> f64 {
        self.buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max)
    }

    /// The bucket that holds a quantile: above the first, up to the second. `None`, if nothing was observed.
    pub fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        let wanted = self.count() * q;
        let mut below = 0.0;
        for (bound, count) in &self.buckets {
            if *count >= wanted && *count > 0.0 {
                return Some((below, *bound));
            }
            below = *bound;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.016\"} 98
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 100
etcd_disk_wal_fsync_duration_seconds_sum 1.5
etcd_server_quota_backend_bytes 2.147483648e+09
grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\"} 3
grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\"} 4
not a sample
";

    #[test]
    fn a_page_is_read() {
        let metrics = Metrics::parse(PAGE);
        assert_eq!(metrics.sum("etcd_server_quota_backend_bytes"), Some(2_147_483_648.0));
        assert_eq!(metrics.sum("grpc_server_handled_total"), Some(7.0));
        assert_eq!(metrics.sum("none"), None);
        let histogram = metrics.histogram("etcd_disk_wal_fsync_duration_seconds").expect("it is there");
        assert_eq!(histogram.count(), 100.0);
        assert_eq!(histogram.quantile(0.5), Some((0.0, 0.001)));
        assert_eq!(histogram.quantile(0.95), Some((0.001, 0.016)));
        assert_eq!(histogram.quantile(0.99), Some((0.016, f64::INFINITY)));
        let none = histogram.since(&histogram);
        assert_eq!((none.count(), none.quantile(0.99)), (0.0, None));
    }
}
