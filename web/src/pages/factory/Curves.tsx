/** Losses while training, measurements, and answers before and after. */
import { count, formatPercent } from "../../lib/format";
import { Chart } from "../../ui/Chart";
import { Card, Columns } from "../../ui/Page";
import { Stat, StatRow } from "../../ui/values";
import { compareSamples, type Evaluation, type JobHistory, measuredAt, smoothed } from "./history";
import { formatLoss } from "./parts";

/** Steps over which losses are averaged. */
const WINDOW = 10;

export function Curves({ history }: { history: JobHistory }) {
  const { steps } = history;
  const x = { label: "step", values: steps.map(({ step }) => step) };
  return (
    <Columns>
      <Card
        title="Loss"
        intro="How far the model is from the answers it learns: mean cross-entropy of a token, in nats. It should fall; it need not reach zero."
      >
        {steps.length === 0 ? (
          <p className="text-sm text-muted">No step was taken yet. The curve is drawn here as they come.</p>
        ) : (
          <div className="grid gap-4">
            <Chart
              title="Training loss"
              x={x}
              y={{ format: formatLoss, ticks: String }}
              series={[
                { label: "each step", values: steps.map(({ loss }) => loss), tone: "muted", kind: "points" },
                {
                  label: `mean of ${WINDOW}`,
                  values: smoothed(
                    steps.map(({ loss }) => loss),
                    WINDOW,
                  ),
                  tone: "accent",
                },
              ]}
            />
            <details className="text-sm">
              <summary className="w-fit text-muted hover:text-ink">Learning rate and gradient</summary>
              <div className="mt-2 grid gap-4">
                <Chart
                  title="Learning rate"
                  height={140}
                  x={x}
                  y={{ format: (value) => value.toExponential(1) }}
                  series={[{ label: "learning rate", values: steps.map(({ learningRate }) => learningRate) }]}
                />
                <Chart
                  title="Length of the gradient before clipping"
                  height={140}
                  x={x}
                  series={[
                    { label: "length", values: steps.map(({ gradNorm }) => gradNorm), tone: "second" },
                  ]}
                />
              </div>
            </details>
          </div>
        )}
      </Card>
      <Measured history={history} />
    </Columns>
  );
}

const accuracy = ({ exact, answers }: Evaluation) =>
  answers === 0 ? "—" : `${formatPercent(exact / answers, 1)}`;

function Measured({ history }: { history: JobHistory }) {
  const { measured } = history;
  const [base, tuned] = [measuredAt(history, "base"), measuredAt(history, "tuned")];
  const during = measured.filter(({ moment }) => moment === "during");
  const points = [...measured].sort((one, other) => one.step - other.step);
  const one = tuned ?? base;
  const nothing = measured.length === 0 || measured.every(({ evaluation }) => evaluation.records === 0);
  return (
    <Card
      title="Evaluation"
      intro="On records that did not train: the base model before, the tuned model after. Only what improves here was learnt and not merely memorised."
    >
      {nothing ? (
        <p className="text-sm text-muted">
          {history.encoded !== null && history.encoded.heldOut === 0
            ? "No records were kept from training, so there is nothing to measure with."
            : "Not measured yet."}
        </p>
      ) : (
        <div className="grid gap-4">
          <StatRow>
            {base && (
              <>
                <Stat label="Base: loss">{formatLoss(base.loss)}</Stat>
                <Stat label="Base: exact answers">{accuracy(base)}</Stat>
              </>
            )}
            {tuned && (
              <>
                <Stat label="Tuned: loss">{formatLoss(tuned.loss)}</Stat>
                <Stat label="Tuned: exact answers">{accuracy(tuned)}</Stat>
              </>
            )}
          </StatRow>
          {one && (
            <p className="text-sm text-muted">
              {count(one.records, "record")}, {one.answers} of them with an answer to compare word for word.
            </p>
          )}
          {(during.length > 0 || (base && tuned)) && (
            <Chart
              title="Loss on held-out records"
              height={200}
              x={{ label: "step", values: points.map(({ step }) => step) }}
              y={{ format: formatLoss, ticks: String }}
              series={[
                {
                  label: "held-out loss",
                  values: points.map(({ evaluation }) => evaluation.loss),
                  tone: "second",
                },
              ]}
            />
          )}
        </div>
      )}
    </Card>
  );
}

/** Held-out questions with the answers of base and tuned model. */
export function Samples({ history }: { history: JobHistory }) {
  const latest = history.measured.findLast(({ moment }) => moment !== "base");
  const base = measuredAt(history, "base");
  const rows = compareSamples(base, latest?.evaluation ?? null);
  if (rows.length === 0) return null;
  const tuned =
    latest === undefined
      ? "Tuned model"
      : latest.moment === "tuned"
        ? "Tuned model"
        : `At step ${latest.step}`;
  return (
    <Card
      title="Base and tuned side by side"
      intro="Answers to the same held-out records. A tick marks an answer that is exactly the record's."
      padded={false}
    >
      <div
        role="region"
        aria-label="Answers side by side"
        tabIndex={0}
        className="relative max-h-[36rem] overflow-auto"
      >
        <table className="w-full min-w-[36rem] text-sm">
          <thead>
            <tr>
              {["Record", "Expected", "Base model", tuned].map((title) => (
                <th
                  key={title}
                  scope="col"
                  className="sticky top-0 border-b border-line bg-surface px-3 py-2 text-left text-xs font-medium text-muted first:pl-5"
                >
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.record} className="border-b border-line align-top last:border-b-0">
                <th scope="row" className="px-3 py-2 pl-5 text-left font-normal text-muted">
                  {row.record + 1}
                </th>
                <td className="px-3 py-2 whitespace-pre-wrap">{row.expected}</td>
                <SampleCell answer={row.base} expected={row.expected} />
                <SampleCell answer={row.tuned} expected={row.expected} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function SampleCell({ answer, expected }: { answer: string | null; expected: string }) {
  if (answer === null) return <td className="px-3 py-2 text-muted">not yet</td>;
  const exact = answer.trim() === expected.trim();
  return (
    <td className="px-3 py-2 break-words whitespace-pre-wrap">
      {exact && (
        <span className="font-medium text-accent">
          <span aria-hidden="true">✓ </span>
          <span className="sr-only">Exact: </span>
        </span>
      )}
      {answer === "" ? <span className="text-muted">(empty)</span> : answer}
    </td>
  );
}
