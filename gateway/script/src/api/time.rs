//! Clocks, dates and what HTTP makes of them. Unlike in nginx the time is never cached, so `ngx.update_time` has nothing to do.

use std::time::{Instant, UNIX_EPOCH};

use mlua::{Lua, Table};

use crate::clock::{since, time_of_day};
use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The last second of the year 9999: dates have four digits for the year.
const LAST: i64 = 253_402_300_799;
/// The first second of 2038. Before it cookies have two digits for the year, as Netscape had them.
const FOUR_DIGITS: i64 = 2_145_916_800;

pub(crate) fn install(lua: &Lua, ngx: &Table, preload: &Table) -> mlua::Result<()> {
    ngx.raw_set("now", function(lua, &[], |_, answer| give((time_of_day().as_millis() as f64) / 1000.0, answer))?)?;
    ngx.raw_set("time", function(lua, &[], |_, answer| give(time_of_day().as_secs() as f64, answer))?)?;
    ngx.raw_set("update_time", function(lua, &[], |_, _| Ok(()))?)?;
    ngx.raw_set("http_time", function(lua, &[], http_time)?)?;
    ngx.raw_set("cookie_time", function(lua, &[], cookie_time)?)?;
    ngx.raw_set("parse_http_time", function(lua, &[], parse_http_time)?)?;
    // Lua's own function knows the time zone of the machine. It is bound here: scripts may replace `os.date`.
    let code = "local date, ngx = os.date, ...
        function ngx.today() return date('%Y-%m-%d') end
        function ngx.localtime() return date('%Y-%m-%d %H:%M:%S') end
        function ngx.utctime() return date('!%Y-%m-%d %H:%M:%S') end";
    lua.load(code).set_name("=witgate/time").call::<()>(ngx)?;

    super::preload(lua, preload, "resty.core.time", |lua| {
        let begun = Instant::now();
        let module = lua.create_table()?;
        module.raw_set("version", super::CORE_VERSION)?;
        let msec = function(lua, &[], move |_, answer| give(since(begun).as_millis() as f64, answer))?;
        module.raw_set("monotonic_msec", msec)?;
        let time = function(lua, &[], move |_, answer| give(since(begun).as_millis() as f64 / 1000.0, answer))?;
        module.raw_set("monotonic_time", time)?;
        Ok(module)
    })
}

fn give(number: f64, answer: &mut Answer) -> Outcome {
    answer.number(number);
    Ok(())
}

/// A moment of the calendar, in UTC.
struct Moment {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    /// Of seconds since 1970. After "chrono-compatible low-level date algorithms" by Howard Hinnant: years begin in March, so
    /// that the day that is sometimes there is the last.
    fn new(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 2 } else { from_march - 10 };
        Self {
            year: year_of_era + era * 400 + i64::from(month < 2),
            month: usize::try_from(month).unwrap_or(0),
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    fn text(&self, separator: char, year: impl std::fmt::Display) -> String {
        let day = DAYS.get(self.weekday).unwrap_or(&"");
        let month = MONTHS.get(self.month).unwrap_or(&"");
        let Self { day: number, hour, minute, second, .. } = self;
        format!("{day}, {number:02}{separator}{month}{separator}{year} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

fn seconds(call: &Call<'_>) -> Result<i64, Fault> {
    match call.given(1) {
        #[expect(clippy::cast_possible_truncation, reason = "cut off at the ends of the range")]
        Given::Number(seconds) => Ok((seconds as i64).clamp(0, LAST)),
        _ => Err(Fault::new("number argument only")),
    }
}

fn http_time(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let moment = Moment::new(seconds(call)?);
    answer.bytes(moment.text(' ', format_args!("{:04}", moment.year)).as_bytes());
    Ok(())
}

fn cookie_time(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let seconds = seconds(call)?;
    let moment = Moment::new(seconds);
    let year = if seconds < FOUR_DIGITS { format!("{:02}", moment.year % 100) } else { moment.year.to_string() };
    answer.bytes(moment.text('-', year).as_bytes());
    Ok(())
}

fn parse_http_time(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return Err(Fault::new("string argument only")) };
    let time = std::str::from_utf8(text).ok().and_then(|text| httpdate::parse_http_date(text).ok());
    match time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
        Some(time) => answer.number(time.as_secs() as f64),
        None => answer.nil(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{check, vm};
    use proptest::prelude::*;

    #[test]
    fn times_have_the_forms_of_http_and_of_cookies() {
        let lua = vm();
        for (code, expected) in [
            ("return ngx.http_time(1290079655)", "Thu, 18 Nov 2010 11:27:35 GMT"),
            ("return ngx.cookie_time(1290079655)", "Thu, 18-Nov-10 11:27:35 GMT"),
            (
                "return ngx.cookie_time(2145916799), ngx.cookie_time(2145916800)",
                "Thu, 31-Dec-37 23:59:59 GMT Fri, 01-Jan-2038 00:00:00 GMT",
            ),
            (
                "return ngx.http_time(1e300), ngx.http_time(-1)",
                "Fri, 31 Dec 9999 23:59:59 GMT Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            ("local _ = ngx.http_time('x')", "error: case:1: number argument only"),
            (
                "return ngx.parse_http_time('Thu, 18 Nov 2010 11:27:35 GMT'), ngx.parse_http_time('abc')",
                "1290079655 nil",
            ),
            ("return ngx.parse_http_time('Thursday, 18-Nov-10 11:27:35 GMT')", "1290079655"),
            ("local _ = ngx.parse_http_time(1)", "error: case:1: string argument only"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn clocks_go_forward_and_agree() {
        let lua = vm();
        let code = "local before, now, after = ngx.time(), ngx.now(), ngx.time() + 1
            assert(before <= now and now <= after and before > 1.7e9)
            ngx.update_time()
            assert(ngx.now() >= now and string.format('%.3f', now) + 0 == now)
            assert(ngx.today():find('^%d%d%d%d%-%d%d%-%d%d$'))
            assert(ngx.localtime():find('^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d$') and #ngx.utctime() == 19)
            local time = require 'resty.core.time'
            local first = time.monotonic_time()
            return time.monotonic_msec() >= first * 1000";
        check(&lua, code, "true");
    }

    proptest! {
        #[test]
        fn dates_are_those_of_another_implementation(seconds in 0..LAST) {
            let moment = Moment::new(seconds);
            let time = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            prop_assert_eq!(moment.text(' ', format_args!("{:04}", moment.year)), httpdate::fmt_http_date(time));
        }
    }
}
