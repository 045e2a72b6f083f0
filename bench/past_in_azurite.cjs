// Gives Azurite a long past without the wire, where a million pushes would take it hours.
//
// Node.js loads this before Azurite (--require). A table that is made takes in what BENCH_PAST, a
// folder, holds for it: a file of lines, each an entity as JSON. And what is asked of one partition
// is looked for in that partition; by itself Azurite goes through the whole table for each query,
// and for each entity through all that have the same row key or the same partition key.
"use strict";

const fs = require("fs");
const path = require("path");

const source = path.dirname(fs.realpathSync(process.argv[1]));
const { default: Store } = require(path.join(source, "table/persistence/LokiTableMetadataStore"));
const { truncatedISO8061Date } = require(path.join(source, "common/utils/utils"));
const { newTableEntityEtag } = require(path.join(source, "table/utils/utils"));

const PIECE = 1 << 24; // bytes; no text of Node.js holds a whole file

function* lines(file) {
  const descriptor = fs.openSync(file, "r");
  const buffer = Buffer.alloc(PIECE);
  let left = "";
  for (let read; (read = fs.readSync(descriptor, buffer, 0, PIECE, null)) > 0; ) {
    // Its writer escapes whatever is not ASCII.
    const found = (left + buffer.toString("latin1", 0, read)).split("\n");
    left = found.pop();
    yield* found;
  }
  fs.closeSync(descriptor);
}

const made = Store.prototype.createCollectionForTable;
Store.prototype.createCollectionForTable = function (model) {
  made.call(this, model);
  const file = path.join(process.env.BENCH_PAST, `${model.table}.jsonl`);
  if (!fs.existsSync(file)) return;
  const table = this.db.getCollection(this.getTableCollectionName(model.account, model.table));
  table.adaptiveBinaryIndices = false; // they are sorted once, when all is there
  const time = truncatedISO8061Date(new Date(), true, true);
  const eTag = newTableEntityEtag(time);
  for (const line of lines(file)) {
    const properties = JSON.parse(line);
    const { PartitionKey, RowKey } = properties;
    properties.Timestamp = time;
    properties["Timestamp@odata.type"] = "Edm.DateTime";
    table.insert({ PartitionKey, RowKey, properties, lastModifiedTime: time, eTag });
  }
  table.ensureAllIndexes(true);
  table.adaptiveBinaryIndices = true;
};

// Looks first among the fewer: those of the partition key, or those of the row key.
const { Collection } = require(require.resolve("lokijs", { paths: [source] }));
const one = Collection.prototype.findOne;
Collection.prototype.findOne = function (about) {
  const { PartitionKey, RowKey } = about;
  if (PartitionKey === undefined || RowKey === undefined) return one.call(this, about);
  const many = (property) => {
    const [first, last] = this.calculateRange("$eq", property, about[property]);
    return last - first;
  };
  const row = many("RowKey") <= many("PartitionKey");
  return one.call(this, row ? { RowKey, PartitionKey } : { PartitionKey, RowKey });
};

const query = Store.prototype.queryTableEntities;
Store.prototype.queryTableEntities = function (context, account, table, options, ...next) {
  const named = /^PartitionKey eq '([^']*)'(?: and |$)/.exec(options.filter ?? "");
  if (named === null || / or |not /.test(options.filter)) {
    return query.call(this, context, account, table, options, ...next);
  }
  const whole = this.getEntityCollection(account, table, context);
  const some = { chain: () => whole.chain().find({ PartitionKey: named[1] }) };
  const within = Object.create(this, { getEntityCollection: { value: () => some } });
  return query.call(within, context, account, table, options, ...next);
};
