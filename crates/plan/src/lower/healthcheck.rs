//! `HEALTHCHECK`: how to see that a container works.

use dockerfile::ast::{self, Command};
use image::config::Healthcheck;

use super::scope::Scope;
use crate::text::{duration, plain_list};

pub(super) fn lower(scope: &mut Scope<'_, '_>, check: &ast::Healthcheck) -> Option<()> {
    let check = Healthcheck {
        test: test(check.command.as_ref()),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    };
    scope.note(format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        plain_list(&check.test),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries,
    ));
    scope.config().healthcheck = Some(check);
    Some(())
}

fn test(command: Option<&Command>) -> Vec<String> {
    match command {
        None => vec!["NONE".to_owned()],
        Some(Command::Exec(words)) => {
            ["CMD".to_owned()].into_iter().chain(words.iter().map(|word| word.value.clone())).collect()
        }
        Some(Command::Shell(text)) => vec!["CMD-SHELL".to_owned(), text.value.clone()],
    }
}
