import { useQuery } from "@tanstack/react-query";
import type { Address } from "viem";
import { getBalance } from "viem/actions";
import { keys } from "../../../api/keys";
import { useChain } from "../../../chain/client";
import { LinkButton } from "../../../ui/Button";
import { Card, Page } from "../../../ui/Page";
import { Empty, Notice, QueryView } from "../../../ui/states";
import { useWallet } from "../../../wallet/wallet";
import { NoSuchDatanet, useDatanetId } from "../Detail";
import { expired } from "../licence";
import { ConnectFirst } from "../New";
import { LicencePoints } from "../parts";
import { type DatanetDetail, datanetQuery, sameAccount } from "../queries";
import { ContributionCard } from "./ContributionCard";
import { DropFiles } from "./DropFiles";
import { Resume } from "./Resume";
import { useContributions } from "./stored";
import { TransferList } from "./TransferList";

/** From files to accepted records. */
export function Contribute() {
  const id = useDatanetId();
  return id === null ? <NoSuchDatanet /> : <Known id={id} />;
}

function Known({ id }: { id: number }) {
  const query = useQuery(datanetQuery(id));
  const name = query.data?.name ?? `Datanet ${id}`;
  return (
    <Page
      title={`Contribute to ${name}`}
      heading={<span className="break-words">Contribute to {name}</span>}
      back={{ to: `/datanets/${id}`, label: name }}
      intro="Drop files with texts, or with questions and answers. You see what becomes of each row before anything is signed. It takes two transactions and one signature; you can leave and go on later."
    >
      <QueryView query={query} loading="Reading the Datanet" what="Datanet">
        {(datanet) => <Content datanet={datanet} />}
      </QueryView>
    </Page>
  );
}

function Content({ datanet }: { datanet: DatanetDetail }) {
  const { account } = useWallet();
  if (expired(datanet.terms, Date.now() / 1000)) {
    return (
      <Empty
        title="The licence has expired"
        action={<LinkButton to={`/datanets/${datanet.id}`}>Back to the Datanet</LinkButton>}
      >
        The registry takes no more records under it.
      </Empty>
    );
  }
  return (
    <>
      {account === null ? (
        <ConnectFirst what="contribute" />
      ) : (
        <>
          <NoFunds address={account.address} />
          <Card
            title="Choose files"
            intro="They are sent to this node. Nobody else sees them before you reveal them."
          >
            <DropFiles datanet={datanet.id} contributor={account.address} />
            <TransferList datanet={datanet.id} />
            <Resume datanet={datanet} address={account.address} />
          </Card>
          <MyContributions datanet={datanet} address={account.address} />
        </>
      )}
      <Card
        title="The licence you sign"
        intro="With each batch you agree to these terms, and say that the records are yours to give."
      >
        <LicencePoints terms={datanet.terms} />
      </Card>
    </>
  );
}

/** Transactions cost a little; an account without anything cannot send one. */
function NoFunds({ address }: { address: Address }) {
  const { client, faucetWei } = useChain();
  const balance = useQuery({
    queryKey: [...keys.chain, "balance", address],
    queryFn: () => getBalance(client, { address }),
  });
  if (balance.data !== 0n) return null;
  return (
    <Notice
      tone="warn"
      title="Your account has no OPEN"
      action={
        <LinkButton to="/account">{faucetWei === null ? "Account" : "Get some from the faucet"}</LinkButton>
      }
    >
      You can prepare everything now; the two transactions at the end cost a small fee.
    </Notice>
  );
}

function MyContributions({ datanet, address }: { datanet: DatanetDetail; address: Address }) {
  const { chain } = useChain();
  const here = useContributions().filter((one) => one.chain === chain.id && one.datanet === datanet.id);
  const mine = here.filter((one) => sameAccount(one.contributor, address));
  const others = here.length - mine.length;
  return (
    <>
      {mine.map((contribution) => (
        <ContributionCard key={contribution.upload} contribution={contribution} datanet={datanet} />
      ))}
      {others > 0 && (
        <p className="text-sm text-muted">
          {others === 1 ? "One more file was" : `${others} more files were`} added here with another account.
          Switch to it to go on.
        </p>
      )}
    </>
  );
}
