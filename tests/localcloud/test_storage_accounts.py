"""Storage accounts of the local cloud, asked by Azure's own clients."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient, UpdateMode
from azure.storage.queue import QueueServiceClient

from localcloud.cloud import LocalCloud
from localcloud.directory import Principal
from localcloud.tokens import Credential

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/apps"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/strebuilder"


class Arm:
    """ARM, asked by the developer."""

    def __init__(self, cloud: LocalCloud) -> None:
        credential = Credential(cloud.tokens, cloud.developer)
        self.token = credential.get_token("https://management.azure.com/.default").token
        self.http = cloud.network.client(base_url="https://management.azure.com")

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send a request."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{path}?api-version=2025-06-01"
        return self.http.request(method, url, json=body, headers=headers)


@pytest.fixture(name="arm")
def _arm(cloud: LocalCloud) -> Iterator[Arm]:
    cloud.create_group(SUBSCRIPTION, "apps", "westeurope")
    arm = Arm(cloud)
    with arm.http:
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_LRS"},
            "kind": "StorageV2",
            "properties": {"allowSharedKeyAccess": False, "minimumTlsVersion": "TLS1_2"},
        }
        assert arm.ask("PUT", ACCOUNT, body).status_code == 200
        yield arm


@pytest.fixture(name="somebody")
def _somebody(cloud: LocalCloud) -> Principal:
    return cloud.directory.create("somebody")


def _queues(cloud: LocalCloud, who: Principal) -> QueueServiceClient:
    url = "https://strebuilder.queue.core.windows.net"
    return QueueServiceClient(url, Credential(cloud.tokens, who), retry_total=0)


def test_an_account_tells_its_endpoints(arm: Arm) -> None:
    """An account names its services, and a second PUT of the same changes nothing."""
    first = arm.ask("GET", ACCOUNT).json()
    endpoints = first["properties"]["primaryEndpoints"]
    assert endpoints["table"] == "https://strebuilder.table.core.windows.net/"
    body = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    arm.ask("PUT", ACCOUNT, {**body, "properties": {"allowSharedKeyAccess": False}})
    assert arm.ask("GET", ACCOUNT).json() == first


def test_messages_need_the_queue_s_role(arm: Arm, cloud: LocalCloud, somebody: Principal) -> None:
    """A queue that ARM made takes messages from who has a role on it, and every one is recorded."""
    place = f"{ACCOUNT}/queueServices/default/queues/rebuilder-builds"
    assert [arm.ask("PUT", place, {}).status_code for _ in range(2)] == [200, 200]
    with _queues(cloud, somebody) as service:
        queue = service.get_queue_client("rebuilder-builds")
        with pytest.raises(HttpResponseError) as refused:
            queue.send_message("one")
        assert refused.value.error_code == "AuthorizationPermissionMismatch"  # type: ignore[attr-defined]  # storage adds it
        cloud.roles.assign("Storage Queue Data Message Sender", somebody.object_id, place)
        queue.send_message("one")
        with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
            queue.receive_message()
        cloud.roles.assign("Storage Queue Data Message Processor", somebody.object_id, ACCOUNT)
        message = queue.receive_message()
        assert message is not None
        assert message.content == "one"
        queue.delete_message(message)
    done = [(o.operation.name, o.principal_id) for o in cloud.storage_operations()]
    names = ["Put Message", "Get Messages", "Delete Message"]
    assert done == [(name, somebody.object_id) for name in names]


@pytest.mark.usefixtures("arm")
def test_entities_go_through_batches(cloud: LocalCloud, somebody: Principal) -> None:
    """A transaction reaches the account's own table, and each of its requests is recorded."""
    cloud.roles.assign("Storage Table Data Contributor", somebody.object_id, ACCOUNT)
    url = "https://strebuilder.table.core.windows.net"
    with TableServiceClient(url, credential=Credential(cloud.tokens, somebody)) as service:
        table = service.create_table_if_not_exists("ledger")
        rows = [{"PartitionKey": "a", "RowKey": str(n), "text": "x/y"} for n in range(3)]
        table.submit_transaction([("create", row) for row in rows])
        table.submit_transaction(
            [("upsert", rows[0], {"mode": UpdateMode.REPLACE}), ("delete", rows[1])]
        )
        assert [e["RowKey"] for e in table.query_entities("PartitionKey eq 'a'")] == ["0", "2"]
    names = [o.operation.name for o in cloud.storage_operations()]
    assert names == [
        *("Create Table", "Insert Entity", "Insert Entity", "Insert Entity"),
        *("Insert Or Replace Entity", "Delete Entity", "Query Entities"),
    ]
    assert cloud.storage_operations()[-1].operation.resource == (
        "tableServices/default/tables/ledger"
    )


def test_keys_are_refused(arm: Arm, cloud: LocalCloud) -> None:
    """An account without shared keys refuses them, and who says nothing is asked for a token."""
    key = "a2V5"
    url = "https://strebuilder.queue.core.windows.net"
    credential = {"account_name": "strebuilder", "account_key": key}
    with (
        QueueServiceClient(url, credential, retry_total=0) as service,
        pytest.raises(HttpResponseError, match="KeyBasedAuthenticationNotPermitted"),
    ):
        service.create_queue("any")
    answer = arm.http.get(f"{url}/?comp=list")
    assert answer.status_code == 401
    assert "resource_id=https://storage.azure.com" in answer.headers["www-authenticate"]
    other = Credential(cloud.tokens, cloud.developer).get_token("https://vault.azure.net/.default")
    answer = arm.http.get(f"{url}/?comp=list", headers={"Authorization": f"Bearer {other.token}"})
    assert answer.headers["x-ms-error-code"] == "InvalidAuthenticationInfo"


def test_two_accounts_keep_apart(arm: Arm, cloud: LocalCloud) -> None:
    """Accounts share a process, but not their containers; a name is taken once in the world."""
    second = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stother"
    body = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    arm.ask("PUT", second, body)
    taken = arm.ask("PUT", ACCOUNT.replace("apps", "others"), body)
    assert taken.json()["error"]["code"] == "ResourceGroupNotFound"
    cloud.create_group(SUBSCRIPTION, "others", "westeurope")
    taken = arm.ask("PUT", ACCOUNT.replace("apps", "others"), body)
    assert taken.json()["error"]["code"] == "StorageAccountAlreadyTaken"
    arm.ask("PUT", f"{ACCOUNT}/blobServices/default/containers/package", {})
    cloud.roles.assign("Storage Blob Data Owner", cloud.developer.object_id, GROUP)
    token = Credential(cloud.tokens, cloud.developer).get_token("https://storage.azure.com")
    headers = {"Authorization": f"Bearer {token.token}", "x-ms-version": "2023-11-03"}
    for account, status in (("strebuilder", 201), ("stother", 404)):
        url = f"https://{account}.blob.core.windows.net/package/a.txt"
        put = arm.http.put(url, content=b"x", headers={**headers, "x-ms-blob-type": "BlockBlob"})
        assert put.status_code == status
    head = arm.http.head("https://strebuilder.blob.core.windows.net/package/a.txt", headers=headers)
    assert head.headers["content-length"] == "1"
    assert arm.ask("DELETE", ACCOUNT).status_code == 200
    gone = arm.http.get("https://strebuilder.blob.core.windows.net/?comp=list", headers=headers)
    assert gone.status_code == 404
