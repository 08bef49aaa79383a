// What caches of other sizes would hit under the same requests: by LRU, and by any policy. Pure but for reading a
// trace.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/future.h"
#include "traffic/request.h"

namespace kvcast::traffic {

/// Sizes for hit_rate_curve: `points` >= 2 capacities in whole pages, evenly spaced by their logarithm, from what the
/// median user takes up to all users at once; fewer where these lie closer together than pages, none without
/// histories. Reads all requests. Beyond about 10^6 users the two ends are estimates from a sample of users, drawn by
/// hash (as SHARDS does: Waldspurger, Park, Garthwaite, Ahmad, FAST 2015).
std::vector<std::int64_t> cache_sizes(RequestSource& requests, const UserCacheOptions& options, double bytes_per_token,
                                      std::int64_t max_history, std::int64_t points = 12);

/// A point per size of `cache_bytes`, in that order, in one pass: each request is served in no time when it arrives,
/// and its user is kept. Pages and time to live are those of `options`. All rates are shares of all requests, the first
/// of a user and those without a history included, which no cache can hit.
///
/// lru, lru_tokens: of a UserCache. Its memory is that of all the sizes at once.
/// belady: what is needed last goes first, or is not kept at all; what expires or changes before it is needed again
/// goes at once. The most hits of all policies where all users take the same bytes; where they do not, a policy may
/// have more. Source: Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.
/// bound: no policy has more hits, whatever the bytes. A request can hit only if its user was held since the request of
/// that user before; holding takes (bytes) x (requests between), of which there are capacity x (requests - 1). As many
/// as fit when the cheapest come first. Source: PFOO-L of Berger, Beckmann, Harchol-Balter, "Practical bounds on
/// optimal caching with variable object sizes", POMACS 2018. che: Che's approximation of lru, see che_hits. The last
/// three are nullopt for streams longer than `max_offline`: they need all of it in memory.
///
/// `threads` share the sizes; the numbers do not depend on them. Errors: those of `requests`.
std::vector<HitRatePoint> hit_rate_curve(RequestSource& requests, const std::vector<std::int64_t>& cache_bytes,
                                         const UserCacheOptions& options, double bytes_per_token,
                                         std::int64_t max_history, int threads = 1,
                                         std::int64_t max_offline = kMaxOffline);

/// Che's approximation of LRU, for a finite stream of which the counts are known: expected hits when every order of the
/// requests is equally likely, which is what users drawn independently come to. An entry stays for as long after its
/// last request as fills the cache on average. The requests of a user are n points spread evenly over the stream; the
/// gap between two neighbours, and the one that lies across any moment of a window of the share x of the stream,
/// exceeds x with probability (1 - x)^n. So x solves sum bytes (1 - (1 - x)^n) = capacity, and the hits are sum reuses
/// (1 - (1 - x)^n). Rates of exp(-rate T) estimated from the counts would hit the first request of every user, and
/// users who came once. A user larger than the cache is never kept. ttl: as a share of the stream, in time. Source:
/// Che, Tung, Wang, "Hierarchical web caching systems", JSAC 2002; why it is close: Fricker, Robert, Roberts, "A
/// versatile and accurate approximation for LRU cache performance", ITC 2012.
double che_hits(const std::vector<UserRequests>& users, double capacity, std::optional<double> ttl = std::nullopt);

}  // namespace kvcast::traffic
