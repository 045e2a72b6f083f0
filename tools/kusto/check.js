// Reads queries as JSON from standard input, [{name, query}], and writes what Kusto's own parser
// finds wrong with each: against the columns of Log Analytics' tables in tables.json.
const path = require("path");
const modules = path.resolve(process.argv[2], "node_modules", "@kusto", "language-service-next");
require(path.join(modules, "bridge.min.js"));
require(path.join(modules, "Kusto.Language.Bridge.min.js"));
const { KustoCode, GlobalState, Symbols } = Kusto.Language;
const tables = require("./tables.json");

const types = Symbols.ScalarTypes;
const scalars = {
  bool: types.Bool,
  datetime: types.DateTime,
  dynamic: types.Dynamic,
  int: types.Int,
  real: types.Real,
  string: types.String,
};
const symbols = Object.entries(tables).map(([name, columns]) => {
  const made = Object.entries(columns).map(([c, t]) => new Symbols.ColumnSymbol(c, scalars[t]));
  return new Symbols.TableSymbol.$ctor4(name, made);
});
const list = new (System.Collections.Generic.List$1(Symbols.Symbol).$ctor1)(symbols);
const database = new Symbols.DatabaseSymbol.$ctor3("workspace", null, list, false);
const globals = GlobalState.Default.WithDatabase(database);

let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", () => {
  const told = JSON.parse(text).map(({ name, query }) => {
    const code = KustoCode.ParseAndAnalyze(query, globals);
    const found = code.GetDiagnostics();
    const problems = [];
    for (let i = 0; i < found.Count; i++) {
      const one = found.Items ? found.Items[i] : found.getItem(i);
      problems.push(`${one.Severity}: ${one.Message} (at ${one.Start})`);
    }
    return { name, problems };
  });
  process.stdout.write(JSON.stringify(told));
});
