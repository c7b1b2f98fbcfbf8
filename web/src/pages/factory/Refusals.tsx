import { count } from "../../lib/format";

/** Records that do not train, with reasons. */
export function Refusals({
  refusals,
  refused,
}: {
  refusals: readonly { record: number; reason: string }[];
  refused: number;
}) {
  if (refused === 0) return null;
  return (
    <details className="text-sm">
      <summary className="w-fit text-muted hover:text-ink">
        Why {count(refused, "record")} do not train
      </summary>
      <ul className="mt-1 grid gap-0.5">
        {refusals.map(({ record, reason }) => (
          <li key={record}>
            Record {record + 1}: {reason}
          </li>
        ))}
        {refused > refusals.length && <li className="text-muted">and {refused - refusals.length} more</li>}
      </ul>
    </details>
  );
}
