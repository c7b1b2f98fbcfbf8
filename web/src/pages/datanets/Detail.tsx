import { useQuery } from "@tanstack/react-query";
import { Outlet, useOutletContext, useParams } from "react-router";
import { count, formatInteger } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { NavTabs, Tip } from "../../ui/navigation";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, Notice, QueryView } from "../../ui/states";
import { AccountName, Hash, Stat, StatRow, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { acceptance } from "./filters";
import { expired } from "./licence";
import { Acceptance, LicenceBadges, LicencePoints } from "./parts";
import { type DatanetDetail, datanetQuery } from "./queries";

/** The Datanet that the page's address names; null when it names none. */
export function useDatanetId(): number | null {
  const { id = "" } = useParams();
  return /^[1-9]\d{0,15}$/.test(id) ? Number(id) : null;
}

/** The Datanet whose tab this is. */
export const useDatanet = () => useOutletContext<DatanetDetail>();

export function NoSuchDatanet() {
  return (
    <Page title="Datanet" back={{ to: "/datanets", label: "Datanets" }}>
      <Empty
        title="This is not a Datanet's address"
        action={<LinkButton to="/datanets">All Datanets</LinkButton>}
      >
        Datanets have numbers: 1, 2, 3 and so on.
      </Empty>
    </Page>
  );
}

/** A Datanet: what it is, under which terms, and its tabs. */
export function Detail() {
  const id = useDatanetId();
  return id === null ? <NoSuchDatanet /> : <Known id={id} />;
}

function Known({ id }: { id: number }) {
  const query = useQuery(datanetQuery(id));
  const datanet = query.data;
  const name = datanet?.name ?? `Datanet ${id}`;
  return (
    <Page
      title={name}
      back={{ to: "/datanets", label: "Datanets" }}
      heading={<span className="break-words">{name}</span>}
      intro={
        datanet && (
          <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
            Datanet {id} · owned by <Owner address={datanet.owner} /> <LicenceBadges terms={datanet.terms} />
          </span>
        )
      }
      actions={
        // Nobody contributes to what is not there.
        (datanet || !query.error) && (
          <LinkButton to={`/datanets/${id}/contribute`} tone="primary">
            Contribute
          </LinkButton>
        )
      }
    >
      <QueryView query={query} loading="Reading the Datanet" what="Datanet">
        {(found) => <Content datanet={found} />}
      </QueryView>
    </Page>
  );
}

function Owner({ address }: { address: string }) {
  const { account } = useWallet();
  return <AccountName value={address} you={account?.address ?? null} />;
}

function Content({ datanet }: { datanet: DatanetDetail }) {
  const base = `/datanets/${datanet.id}`;
  return (
    <>
      {expired(datanet.terms, Date.now() / 1000) && (
        <Notice tone="warn" title="The licence has expired">
          Nobody can contribute any more, and no new model may be published on these records.
        </Notice>
      )}
      <Summary datanet={datanet} />
      <Columns>
        <Card
          title="Licence"
          intro="Whoever contributes signs these terms, and the registry holds models to them."
        >
          <LicencePoints terms={datanet.terms} />
          <p className="mt-3 text-xs text-muted">
            Fingerprint on chain: <Hash value={datanet.licence_hash} what="licence hash" />
          </p>
        </Card>
        <Rejections datanet={datanet} />
      </Columns>
      <NavTabs
        label={`Parts of ${datanet.name}`}
        tabs={[
          { to: base, label: "Records", end: true },
          { to: `${base}/contributors`, label: "Contributors" },
          { to: `${base}/snapshots`, label: "Snapshots" },
          { to: `${base}/models`, label: "Models" },
        ]}
      />
      <Outlet context={datanet} />
    </>
  );
}

function Summary({ datanet }: { datanet: DatanetDetail }) {
  const { records_accepted, records_offered } = datanet;
  return (
    <Card>
      <StatRow>
        <Stat label="Records" note={`of ${formatInteger(records_offered)} offered`}>
          {formatInteger(records_accepted)}
        </Stat>
        <Stat label="Accepted">
          <Acceptance part={acceptance(datanet)} />
        </Stat>
        <Stat label="Contributors">{formatInteger(datanet.contributors)}</Stat>
        <Stat label="Snapshots">{formatInteger(datanet.snapshots)}</Stat>
        <Stat label="Models trained">{formatInteger(datanet.models)}</Stat>
        <Stat label="Paid to contributors">
          <Wei value={datanet.income_wei} />
        </Stat>
      </StatRow>
    </Card>
  );
}

function Rejections({
  datanet: { rejections, similarity_per_mille, records_offered },
}: {
  datanet: DatanetDetail;
}) {
  return (
    <Card
      title="Records that do not earn"
      intro={
        <>
          A record is not accepted when an earlier one says {similarity_per_mille / 10} % or more of{" "}
          <Tip text="Compared by the short pieces of text they share, not by meaning. Whoever committed first counts as earlier.">
            the same
          </Tip>
          .
        </>
      }
    >
      {rejections.length === 0 ? (
        <p className="text-sm text-muted">
          {records_offered === 0 ? "No record was offered yet." : "None: every record offered was accepted."}
        </p>
      ) : (
        <ul className="grid gap-1 text-sm">
          {rejections.map(({ reason, count: number }) => (
            <li key={reason} className="flex flex-wrap justify-between gap-x-4">
              <span>{reason.charAt(0).toUpperCase() + reason.slice(1)}</span>
              <span className="num text-muted">{count(number, "record")}</span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
