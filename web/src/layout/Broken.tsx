import { useRouteError } from "react-router";
import { ErrorState } from "../ui/states";

/** Stands where a page broke; the rest of the frame stays usable. */
export function Broken({ inside = false }: { inside?: boolean }) {
  const error = useRouteError();
  const content = (
    <div className="mx-auto max-w-2xl px-4 py-10">
      <h1 className="mb-3 text-xl font-semibold">This page broke</h1>
      <ErrorState error={error} retry={() => location.reload()} />
    </div>
  );
  return inside ? content : <main>{content}</main>;
}
