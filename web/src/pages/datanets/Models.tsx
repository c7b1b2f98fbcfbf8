import { Link } from "react-router";
import { LinkButton } from "../../ui/Button";
import { Card } from "../../ui/Page";
import { Empty } from "../../ui/states";
import { useDatanet } from "./Detail";
import { links } from "./links";

/** The published models that learned from a Datanet. */
export function Models() {
  const { id, model_names, snapshots, terms } = useDatanet();
  const train = (
    <LinkButton to={links.train(id)} tone="primary">
      Train a model
    </LinkButton>
  );
  if (model_names.length === 0) {
    const empty = !terms.derivatives
      ? { text: "The licence does not allow models.", action: undefined }
      : snapshots === 0
        ? {
            text: "Models are trained on snapshots, and none was taken yet.",
            action: <LinkButton to={`/datanets/${id}/snapshots`}>See snapshots</LinkButton>,
          }
        : {
            text: "Anyone may train one on a snapshot. Its answers then pay those whose records it learned from.",
            action: train,
          };
    return (
      <Empty title="No published model was trained on it" action={empty.action}>
        {empty.text}
      </Empty>
    );
  }
  return (
    <Card
      title="Models trained on it"
      intro="Each paid answer of these models pays contributors of this Datanet."
      actions={terms.derivatives && train}
    >
      <ul className="divide-y divide-line">
        {model_names.map((name) => (
          <li key={name} className="flex flex-wrap items-center justify-between gap-3 py-2">
            <Link to={links.model(name)} className="link min-w-0 font-medium break-all">
              {name}
            </Link>
            <LinkButton to={links.chat(name)} size="sm">
              Ask it
            </LinkButton>
          </li>
        ))}
      </ul>
    </Card>
  );
}
