/**
 * How much of the requests each priority gets, and whether it is in a panic. Pure.
 *
 * A priority counts as whole while 1/1.4 of it is healthy; what it lacks goes to the next. When all of them together
 * are not whole, a priority with too few healthy endpoints panics: its requests go to all of them, for to send
 * everything to the few that are left would break these, too. Degraded endpoints count there as healthy ones do.
 * Source: Envoy's documentation of priority levels, degraded endpoints and panic threshold.
 */
export interface LevelHealth {
  readonly total: number;
  readonly healthy: number;
  /** Taken where the healthy ones are not enough; default 0. */
  readonly degraded?: number;
}

export interface LevelLoad {
  /** Percent of the requests; all of them are 100, or each 0 when there is no endpoint at all. */
  readonly load: number;
  readonly isPanic: boolean;
}

export interface PriorityOptions {
  /** Percent; Envoy's default 140. */
  readonly overprovisioning: number;
  /** Percent of healthy endpoints below which a priority panics; Envoy's default 50, 0 is never. */
  readonly panicThreshold: number;
}

/**
 * The loads of the levels, and behind them, where any endpoint is degraded, those of the degraded endpoints of the same
 * levels: what all healthy ones together cannot take goes there.
 */
export function priorityLoads(
  levels: readonly LevelHealth[],
  { overprovisioning, panicThreshold }: PriorityOptions,
): readonly LevelLoad[] {
  const rows = [...levels];
  if (levels.some(({ degraded = 0 }) => degraded > 0))
    rows.push(...levels.map(({ total, degraded = 0 }) => ({ total, healthy: degraded })));
  const availability = rows.map(({ total, healthy }) =>
    total === 0 ? 0 : Math.min(100, Math.floor((overprovisioning * healthy) / total)),
  );
  const sum = availability.reduce((all, each) => all + each, 0);
  const isShort = sum < 100;
  const isPanic = levels.map(
    ({ total, healthy, degraded = 0 }) => isShort && total > 0 && (100 * (healthy + degraded)) / total < panicThreshold,
  );
  // Where nothing is healthy, all in panic share by their size.
  if (sum === 0) return shareBySize(levels, isPanic);
  let left = 100;
  const loads = availability.map((each) => {
    const load = Math.min(left, Math.floor((each * 100) / Math.min(sum, 100)));
    left -= load;
    return load;
  });
  // What rounding left goes to the first that has any.
  const first = loads.findIndex((load) => load > 0);
  return loads.map((load, at) => ({ load: at === first ? load + left : load, isPanic: isPanic[at % levels.length]! }));
}

function shareBySize(levels: readonly LevelHealth[], isPanic: readonly boolean[]): readonly LevelLoad[] {
  const total = levels.reduce((all, level, at) => all + (isPanic[at] === true ? level.total : 0), 0);
  let left = total === 0 ? 0 : 100;
  return levels.map((level, at) => {
    if (isPanic[at] !== true) return { load: 0, isPanic: false };
    const isLast = levels.slice(at + 1).every((_, after) => isPanic[at + 1 + after] !== true);
    const load = isLast ? left : Math.floor((level.total * 100) / total);
    left -= load;
    return { load, isPanic: true };
  });
}

/** The level for a draw in [0, 1), or undefined when none has any load. */
export function levelFor(loads: readonly LevelLoad[], draw: number): number | undefined {
  let left = draw * 100;
  for (const [at, { load }] of loads.entries()) {
    if (left < load) return at;
    left -= load;
  }
  return undefined;
}
