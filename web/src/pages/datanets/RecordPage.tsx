import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { isHash } from "viem";
import { readContract } from "viem/actions";
import { datanetRegistryAbi } from "../../chain/abis";
import { useChain } from "../../chain/client";
import { Button, LinkButton } from "../../ui/Button";
import { Tip } from "../../ui/navigation";
import { Card, Page } from "../../ui/Page";
import { Empty, ErrorState, Notice, QueryView } from "../../ui/states";
import { AccountName, CopyButton, Facts, Hash, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { recordParts } from "./bodies";
import { NoSuchDatanet, useDatanetId } from "./Detail";
import { RecordBadge } from "./parts";
import { type Check, checkRecord, verdict } from "./proof";
import { type RecordDetail, recordQuery } from "./queries";

/** One record, under an address that stays. */
export function RecordPage() {
  const id = useDatanetId();
  const { hash = "" } = useParams();
  if (id === null) return <NoSuchDatanet />;
  const back = { to: `/datanets/${id}`, label: `Datanet ${id}` };
  if (!isHash(hash)) {
    return (
      <Page title="Record" back={back}>
        <Empty
          title="This is not a record's address"
          action={<LinkButton to={back.to}>All its records</LinkButton>}
        >
          It ends with the record's hash: 0x and 64 digits.
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Record" back={back}>
      <Found id={id} hash={hash} />
    </Page>
  );
}

function Found({ id, hash }: { id: number; hash: string }) {
  const query = useQuery(recordQuery(hash));
  return (
    <QueryView query={query} loading="Reading the record" what="Record">
      {(record) =>
        record.datanet === id ? (
          <>
            <Body record={record} />
            <About record={record} />
            <Proof key={record.hash} record={record} />
          </>
        ) : (
          <Empty
            title="This record is in another Datanet"
            action={
              <LinkButton to={`/datanets/${record.datanet}/records/${record.hash}`}>
                Show it in Datanet {record.datanet}
              </LinkButton>
            }
          />
        )
      }
    </QueryView>
  );
}

function Body({ record }: { record: RecordDetail }) {
  return (
    <Card title="Text" intro="As its contributor wrote it.">
      <div className="grid gap-4">
        {recordParts(record.body).map(({ label, text }, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: turns have no other name
          <div key={index}>
            <div className="flex items-center gap-1 text-xs font-medium text-muted">
              <h3>{label}</h3>
              <CopyButton text={text} label={`Copy the ${label}`} />
            </div>
            <p className="max-w-prose whitespace-pre-wrap break-words">{text}</p>
          </div>
        ))}
      </div>
    </Card>
  );
}

function About({ record }: { record: RecordDetail }) {
  const { account } = useWallet();
  return (
    <Card title="What became of it">
      <Facts
        rows={[
          ["State", <RecordBadge key="state" status={record.status} />],
          ...(record.reason === null ? [] : [["Why", record.reason] as const]),
          ["Contributor", <AccountName key="by" value={record.contributor} you={account?.address ?? null} />],
          [
            "Earned",
            <span key="earned">
              <Wei value={record.earned_wei} />{" "}
              <Tip text="Payouts go to contributors. Here each payout is divided over the records that it was for.">
                by this record
              </Tip>
            </span>,
          ],
          ["Record hash", <Hash key="hash" value={record.hash} what="record hash" />],
          [
            "Batch",
            <span key="batch">
              <Hash value={record.commitment} what="commitment" /> · place {record.index + 1}
            </span>,
          ],
          [
            "Snapshots",
            record.snapshots.length === 0
              ? "in none yet"
              : record.snapshots
                  .map(({ snapshot }) => snapshot)
                  .reverse()
                  .join(", "),
          ],
        ]}
      />
      <p className="mt-3 text-sm">
        <Link className="link" to={`/datanets/${record.datanet}?contributor=${record.contributor}`}>
          All records of this contributor
        </Link>
      </p>
    </Card>
  );
}

/** The proof is checked here, in the browser, against the chain: the node need not be trusted for it. */
function Proof({ record }: { record: RecordDetail }) {
  const { client, contracts } = useChain();
  const check = useMutation({
    mutationFn: async (): Promise<Check[]> => {
      const [place] = record.snapshots;
      if (place === undefined) return checkRecord(record, null);
      const registry = { address: contracts.datanetRegistry, abi: datanetRegistryAbi } as const;
      const datanet = await readContract(client, {
        ...registry,
        functionName: "getDatanet",
        args: [BigInt(record.datanet)],
      });
      if (BigInt(place.snapshot) > datanet.snapshotCount) return checkRecord(record, null);
      const { root } = await readContract(client, {
        ...registry,
        functionName: "getSnapshot",
        args: [BigInt(record.datanet), BigInt(place.snapshot)],
      });
      return checkRecord(record, root);
    },
  });
  const said = check.data && verdict(check.data);
  return (
    <Card
      title="Proof"
      intro="A snapshot is a fixed list of accepted records with one root on chain. The proof shows that this text, hashed with its salt, is a record that stands in it, and whose it is."
      actions={
        <Button
          tone="primary"
          isPending={check.isPending}
          pendingLabel="Checking …"
          onPress={() => check.mutate()}
        >
          {check.data ? "Check again" : "Check the proof"}
        </Button>
      }
    >
      <div aria-live="polite" className="grid gap-3">
        {check.error && <ErrorState error={check.error} what="The check could not be made" />}
        {said && <Notice tone={said.tone} title={said.text} />}
        {check.data && (
          <ul className="grid gap-1.5 text-sm">
            {check.data.map(({ text, holds }) => (
              <li key={text} className="flex gap-2">
                <span
                  aria-hidden="true"
                  className={holds === false ? "text-danger" : holds ? "text-accent" : "text-warn"}
                >
                  {holds === false ? "✕" : holds ? "✓" : "?"}
                </span>
                <span>
                  <span className="sr-only">
                    {holds === false ? "Wrong: " : holds ? "Right: " : "Unknown: "}
                  </span>
                  {text}
                </span>
              </li>
            ))}
          </ul>
        )}
        {!check.data && !check.error && (
          <p className="text-sm text-muted">
            {record.snapshots.length === 0
              ? "No snapshot holds this record yet; the Datanet's owner takes them."
              : "Press the button: your browser computes the hashes and asks the chain for the root."}
          </p>
        )}
      </div>
      {record.snapshots[0]?.proof && (
        <details className="mt-3 text-sm">
          <summary className="w-fit text-muted hover:text-ink">The proof itself</summary>
          <pre className="mt-2 max-h-64 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs">
            {JSON.stringify(record.snapshots[0], null, 2)}
          </pre>
        </details>
      )}
    </Card>
  );
}
