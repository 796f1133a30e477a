//! `cronjob-controller`: makes Jobs at the times of a cron schedule.

mod controller;
mod plan;
mod schedule;

pub(crate) use controller::run;
