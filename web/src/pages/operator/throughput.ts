/** Rates from counters that only grow, looked at again and again. */

export interface Sample {
  atMs: number;
  /** Requests answered so far. */
  done: number;
  tokensIn: number;
  tokensOut: number;
}

/** Looks that are kept: ten minutes at one look every two seconds. */
export const SAMPLES_MAX = 300;

/** Adds a look; when counters went back, the server was started anew and older looks mean nothing. */
export function addSample(before: readonly Sample[], next: Sample, most: number): Sample[] {
  const last = before.at(-1);
  if (last === undefined) return [next];
  const restarted = next.done < last.done || next.tokensIn < last.tokensIn || next.tokensOut < last.tokensOut;
  if (restarted || next.atMs < last.atMs) return [next];
  if (next.atMs === last.atMs) return [...before.slice(0, -1), next];
  return [...before, next].slice(-most);
}

export interface Rate {
  /** Seconds before the latest look; 0 or less. */
  atS: number;
  tokensIn: number;
  tokensOut: number;
}

/** What each pause between two looks brought, a second. */
export function rates(samples: readonly Sample[]): Rate[] {
  const last = samples.at(-1);
  if (last === undefined) return [];
  return samples.slice(1).map((sample, index) => {
    const from = samples[index] ?? sample;
    const seconds = Math.max((sample.atMs - from.atMs) / 1000, 0.001);
    return {
      atS: Math.round((sample.atMs - last.atMs) / 1000),
      tokensIn: (sample.tokensIn - from.tokensIn) / seconds,
      tokensOut: (sample.tokensOut - from.tokensOut) / seconds,
    };
  });
}

/** Generated tokens a second over the whole time looked at; null until there were two looks. */
export function mean(samples: readonly Sample[]): number | null {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return null;
  return ((last.tokensOut - first.tokensOut) * 1000) / (last.atMs - first.atMs);
}

/** "12.3": one digit behind the point, none from a hundred on. */
export function rateText(perSecond: number): string {
  return perSecond >= 100 ? String(Math.round(perSecond)) : perSecond.toFixed(1);
}
