/**
 * Two small ways to hold back: one after another by key, and at most so many at once. Called by jobs.
 */

/** Runs tasks with the same key one after another, within this process. */
export const openTurns = (): (<T>(key: string, task: () => Promise<T>) => Promise<T>) => {
  const tails = new Map<string, Promise<unknown>>();
  return async (key, task) => {
    const run = (tails.get(key) ?? Promise.resolve()).then(task, task);
    tails.set(key, run);
    try {
      return await run;
    } finally {
      if (tails.get(key) === run) tails.delete(key);
    }
  };
};

/** Calls `task` for each item, at most `limit` at once; the first failure stops the rest and is thrown. */
export const eachOf = async <Item>(
  items: readonly Item[],
  limit: number,
  task: (item: Item) => Promise<void>,
): Promise<void> => {
  const remaining = items.values();
  let failed = false;
  const lane = async () => {
    for (const item of remaining) {
      if (failed) return;
      try {
        await task(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
};
