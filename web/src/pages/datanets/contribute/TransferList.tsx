import { formatBytes } from "../../../lib/format";
import { Button } from "../../../ui/Button";
import { ErrorState } from "../../../ui/states";
import { Progress } from "../../../ui/values";
import { refusalOf } from "./files";
import { dropTransfer, retryTransfer, type Transfer, useTransfers } from "./transfers";

/** Files that are on their way, and those that failed. */
export function TransferList({ datanet }: { datanet: number }) {
  const transfers = useTransfers().filter((one) => one.datanet === datanet);
  if (transfers.length === 0) return null;
  return (
    <ul aria-label="Files on their way" className="mt-4 grid gap-3">
      {transfers.map((transfer) => (
        <li key={transfer.key}>
          <OneTransfer transfer={transfer} />
        </li>
      ))}
    </ul>
  );
}

function OneTransfer({ transfer }: { transfer: Transfer }) {
  const { key, file, phase, sent, error } = transfer;
  const forget = (
    <Button size="sm" tone="ghost" aria-label={`Stop sending ${file.name}`} onPress={() => dropTransfer(key)}>
      {phase === "failed" ? "Remove" : "Stop"}
    </Button>
  );
  if (phase === "failed") {
    const again = refusalOf(file) === null ? { retry: () => retryTransfer(key) } : {};
    return (
      <div className="grid gap-1">
        <ErrorState error={error} what={file.name} {...again} />
        <div>{forget}</div>
      </div>
    );
  }
  const labels = { queued: "waiting for its turn", hashing: "computing its hash", sending: "sending" };
  return (
    <div className="flex items-end gap-3">
      <div className="min-w-0 flex-1">
        <Progress
          label={`${file.name}: ${labels[phase]}`}
          value={phase === "sending" ? sent / file.size : null}
          note={
            phase === "sending" ? `${formatBytes(sent)} of ${formatBytes(file.size)}` : formatBytes(file.size)
          }
        />
      </div>
      {forget}
    </div>
  );
}
