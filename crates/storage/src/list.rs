//! Lists: pages from a snapshot in memory, or from etcd where memory does not reach back.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::{Objects, scan};
use crate::error::{Error, Result};
use crate::etcd::RangeError;
use crate::load::prefix_end;
use crate::object::Object;
use crate::query::{Freshness, ListAt, ListQuery, Page, Selection};
use crate::resource::ResourceStore;
use crate::token::Token;

impl ResourceStore {
    /// One page of objects in key order.
    pub async fn list(&self, query: &ListQuery) -> Result<Page> {
        let token = query.continue_token.as_deref().map(Token::decode).transpose()?;
        let start =
            token.as_ref().map_or(String::new(), |token| with_namespace(&query.selection, &token.start));
        let at = match &token {
            Some(token) if token.revision > 0 => ListAt::Exact(token.revision),
            Some(_) => ListAt::Fresh(Freshness::Latest),
            None => query.at,
        };
        match at {
            ListAt::Fresh(freshness) => {
                self.fresh(freshness).await?;
                Ok(self.list_present(query, &start))
            }
            ListAt::Exact(revision) => self.list_exact(query, &start, revision, token.is_some()).await,
        }
    }

    fn list_present(&self, query: &ListQuery, start: &str) -> Page {
        let state = self.resource.state.read();
        let revision = self.shared.progress.reached().max(state.cache.changed_at());
        let candidates = state.cache.candidates(&query.selection);
        let all = state.cache.objects().clone();
        drop(state);
        let page = self.page(&candidates, query, start, revision);
        self.keep_for_next_page(&page, all);
        page
    }

    async fn list_exact(&self, query: &ListQuery, start: &str, revision: i64, paging: bool) -> Result<Page> {
        self.fresh(Freshness::AtLeast(revision)).await?;
        let remembered = self.resource.state.read().cache.objects_at(revision);
        if let Some(objects) = remembered {
            let page = self.page(&objects, query, start, revision);
            self.keep_for_next_page(&page, objects);
            return Ok(page);
        }
        self.list_from_etcd(query, start, revision).await.map_err(|error| match error {
            RangeError::Compacted => compacted(paging, &query.selection, start),
            RangeError::Other(error) => error,
        })
    }

    fn page(&self, objects: &Objects, query: &ListQuery, start: &str, revision: i64) -> Page {
        let selection = &query.selection;
        if let Some(key) = exact_key(selection, self.resource.config.namespaced) {
            let found = objects.get(key.as_str()).map(|found| found.0.clone());
            let items = found
                .into_iter()
                .filter(|object| *object.key >= *start && selection.matches(object))
                .collect();
            return Page { items, revision, continue_token: None, remaining: None };
        }
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let mut candidates = scan(objects, selection, start);
        let mut items = Vec::with_capacity(limit.min(objects.len()).min(PAGE_RESERVE));
        for object in candidates.by_ref() {
            if selection.matches(object) {
                items.push(object.clone());
                if items.len() == limit {
                    break;
                }
            }
        }
        let following = if items.len() < limit {
            0
        } else if selection.filters() {
            candidates.take(1).count()
        } else {
            candidates.count()
        };
        finish_page(items, selection, revision, i64::try_from(following).unwrap_or(i64::MAX))
    }

    /// The pages that follow find the state of this one.
    fn keep_for_next_page(&self, page: &Page, objects: Objects) {
        if page.continue_token.is_some() {
            self.resource.state.write().cache.keep(page.revision, objects, Instant::now());
        }
    }

    async fn list_from_etcd(
        &self,
        query: &ListQuery,
        start: &str,
        revision: i64,
    ) -> Result<Page, RangeError> {
        let selection = &query.selection;
        let call = self.resource.call("list", "listing a past revision");
        let scope = match &selection.namespace {
            Some(namespace) => format!("{}{namespace}/", self.resource.prefix),
            None => self.resource.prefix.clone(),
        };
        let end = prefix_end(&scope);
        let mut from = self.resource.etcd_key(start).max(scope).into_bytes();
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let mut items: Vec<Arc<Object>> = Vec::new();
        loop {
            let wanted = i64::try_from(limit - items.len()).unwrap_or(i64::MAX).min(ETCD_PAGE_KEYS);
            let page = self.shared.etcd.range(call, &from, &end, wanted, revision).await?;
            for kv in &page.kvs {
                match self.resource.decode(&self.shared.interner, kv) {
                    Ok(object) if selection.matches(&object) => items.push(object),
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "left out a stored object that cannot be read"),
                }
            }
            let following = page.count - i64::try_from(page.kvs.len()).unwrap_or(i64::MAX);
            match page.kvs.last() {
                Some(last) if page.more && items.len() < limit => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                _ => {
                    let following = if page.more { following } else { 0 };
                    return Ok(finish_page(items, selection, revision, following));
                }
            }
        }
    }
}

/// Completes a page that ended after its last item, with so many candidates following.
fn finish_page(items: Vec<Arc<Object>>, selection: &Selection, revision: i64, following: i64) -> Page {
    let next = items.last().filter(|_| following > 0).map(|last| {
        let key = match &selection.namespace {
            Some(namespace) => &last.key[namespace.len() + 1..],
            None => &last.key,
        };
        Token::after(key, revision).encode()
    });
    Page {
        remaining: (next.is_some() && !selection.filters()).then_some(following),
        continue_token: next,
        items,
        revision,
    }
}

/// Tokens name keys below the list's prefix, which ends with the namespace when the list is of one.
fn with_namespace(selection: &Selection, start: &str) -> String {
    match &selection.namespace {
        Some(namespace) => format!("{namespace}/{start}"),
        None => start.to_owned(),
    }
}

/// The one key that a selection by name leaves.
fn exact_key(selection: &Selection, namespaced: bool) -> Option<String> {
    match (&selection.namespace, &selection.name) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (None, Some(name)) if !namespaced => Some(name.to_string()),
        _ => None,
    }
}

fn compacted(paging: bool, selection: &Selection, start: &str) -> Error {
    if !paging {
        let message = "The resourceVersion for the provided list is too old.".to_owned();
        return Error::Expired { message, continue_token: None };
    }
    let start = match &selection.namespace {
        Some(namespace) => start[namespace.len() + 1..].to_owned(),
        None => start.to_owned(),
    };
    Error::Expired {
        message: CONTINUE_EXPIRED.to_owned(),
        continue_token: Some(Token { revision: -1, start }.encode()),
    }
}

/// Upstream's words, which clients show to users.
const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. \
    You can start a new list without the continue parameter, or use the continue token in this response to retrieve \
    the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
    were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
const ETCD_PAGE_KEYS: i64 = 500;
const PAGE_RESERVE: usize = 1024;
