import { Link } from "react-router";
import { Hash } from "../../ui/values";
import { isModelId } from "./sums";

/** A model by its name, or by its id where it has none here. */
export function ModelName({ model }: { model: string }) {
  if (isModelId(model)) return <Hash value={model} what="model id" copy={false} />;
  return (
    <Link to={`/models/${encodeURIComponent(model)}`} className="link inline-block min-w-24 wrap-anywhere">
      {model}
    </Link>
  );
}
