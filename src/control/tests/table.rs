//! The methods, called as the connection of the client calls them.

use serde_json::{Value, json};
use talaria_protocol::{
    REQUESTS, SOCKET_REQUESTS, TASK_ANSWER, TASK_CANCEL, TASK_CHECK, TASK_COLLECT, TASK_DIFF,
    TASK_EVENT, TASK_LIST, TASK_RESUME, TASK_SPAWN, TASK_STEER,
};

use super::fixture::{World, call};

fn kind(error: &crate::control::CallError) -> (i32, &str) {
    (error.code, error.data.as_ref().unwrap()["kind"].as_str().unwrap())
}

#[tokio::test]
async fn a_task_from_its_start_to_its_report() {
    let world = World::new();
    let mut session = world.open("s").await;
    let table = world.table();
    assert_eq!(table.requests().collect::<Vec<_>>(), REQUESTS);
    let ask = async |method, params: Value| call(&table, method, params).await.unwrap();

    let params = json!({
        "sessionId": "s",
        "tasks": [{"goal": "one"}, {"goal": "two"}, {"goal": "three"}],
        "key": "k",
    });
    let started = ask(TASK_SPAWN, params.clone()).await;
    let expected = json!({"tasks": [
        {"taskId": "t1", "state": "running"},
        {"taskId": "t2", "state": "running"},
        {"taskId": "t3", "state": "queued", "place": 1},
    ]});
    assert_eq!(started, expected);
    let again = ask(TASK_SPAWN, params).await;
    assert_eq!(again["tasks"][0]["taskId"], "t1", "the same key gets the same tasks");

    let one = session.born().await;
    one.says("a line").await;
    let steered = json!({"sessionId": "s", "taskId": "t3", "message": "faster"});
    assert_eq!(ask(TASK_STEER, steered).await["receipt"], "queued");
    let cancelled = json!({"sessionId": "s", "taskIds": ["t3", "t2", "t3"], "reason": "enough"});
    let cancelled = ask(TASK_CANCEL, cancelled).await;
    let ids: Vec<&Value> =
        cancelled["tasks"].as_array().unwrap().iter().map(|t| &t["taskId"]).collect();
    assert_eq!(ids, ["t3", "t2"], "{cancelled}");
    assert_eq!(cancelled["tasks"][0]["state"], "cancelled");

    let shown =
        ask(TASK_COLLECT, json!({"sessionId": "s", "taskIds": ["t1"], "timeoutSeconds": 0}));
    assert_eq!(shown.await["tasks"][0]["state"], "running", "a time-out ends the wait alone");
    one.completes("done").await;
    let collected = ask(TASK_COLLECT, json!({"sessionId": "s", "taskIds": ["1"]})).await;
    assert_eq!(collected["tasks"][0]["report"], "done");
    let checked = ask(TASK_CHECK, json!({"sessionId": "s", "taskId": "t1"})).await;
    assert_eq!((&checked["state"], &checked["tokens"]), (&json!("completed"), &json!(10)));
    let asks = ask(TASK_ANSWER, json!({"sessionId": "s", "taskId": "t1"})).await;
    assert_eq!(asks, json!({"taskId": "t1", "state": "completed"}));
    let listed = ask(TASK_LIST, json!({"sessionId": "s", "state": "completed"})).await;
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    let resumed = ask(TASK_RESUME, json!({"sessionId": "s", "all": true})).await;
    assert_eq!(resumed, json!({"tasks": []}));
}

#[tokio::test]
async fn errors_say_what_is_wrong_for_programs_and_for_users() {
    let world = World::new();
    let _session = world.open("s").await;
    let table = world.table();
    let fails = async |method, params: Value| call(&table, method, params).await.unwrap_err();
    call(&table, TASK_SPAWN, json!({"sessionId": "s", "tasks": [{"goal": "g"}, {"goal": "h"}]}))
        .await
        .unwrap();

    for method in REQUESTS {
        let error = fails(method, json!({"sessionId": 7})).await;
        assert_eq!(kind(&error), (-32602, "invalid"), "{method}: {error:?}");
        let whole = json!({
            "sessionId": "other", "taskId": "t1", "taskIds": ["t1"], "tasks": [], "message": "m",
        });
        let error = fails(method, whole.clone()).await;
        assert_eq!(kind(&error), (-32002, "unknownSession"), "{method}: {error:?}");
        if [TASK_SPAWN, TASK_LIST].contains(&method) {
            continue;
        }
        for name in ["t9", "no task"] {
            let mut params = whole.clone();
            params["sessionId"] = json!("s");
            params["taskId"] = json!(name);
            params["taskIds"] = json!([name, "t1"]);
            let error = fails(method, params).await;
            assert_eq!(kind(&error), (-32002, "unknownTask"), "{method}: {error:?}");
        }
    }
    let checked = call(&table, TASK_CHECK, json!({"sessionId": "s", "taskId": "t1"})).await;
    assert_eq!(
        checked.unwrap()["state"],
        "running",
        "nothing was done to it beside an unknown one"
    );

    for (method, params, expected) in [
        (TASK_SPAWN, json!({"tasks": []}), "invalid"),
        (TASK_SPAWN, json!({"tasks": [{"goal": " "}]}), "invalid"),
        (TASK_SPAWN, json!({"tasks": [{"goal": "g", "images": ["/etc/hostname"]}]}), "invalid"),
        (TASK_SPAWN, json!({"tasks": [{"goal": "g", "images": ["absent.png"]}]}), "invalid"),
        (TASK_SPAWN, json!({"tasks": vec![json!({"goal": "g"}); 30]}), "limit"),
        (TASK_COLLECT, json!({"taskIds": []}), "invalid"),
        (TASK_CANCEL, json!({}), "invalid"),
        (TASK_CANCEL, json!({"taskIds": ["t1"], "all": true}), "invalid"),
        (TASK_RESUME, json!({"taskIds": ["t1"]}), "state"),
        (TASK_ANSWER, json!({"taskId": "t1", "answer": "allow"}), "state"),
        (TASK_ANSWER, json!({"taskId": "t1", "answer": "allow", "reason": "r"}), "invalid"),
        (TASK_DIFF, json!({"taskId": "t1"}), "state"),
    ] {
        let mut params = params;
        params["sessionId"] = json!("s");
        let error = fails(method, params.clone()).await;
        assert_eq!(kind(&error), (-32602, expected), "{method} {params}: {error:?}");
        assert!(error.message.ends_with('.'), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_the_sockets_alone_does_not_exist_for_a_client() {
    let table = World::new().table();
    for method in SOCKET_REQUESTS.into_iter().chain([TASK_EVENT, "_talaria/task/other"]) {
        let error = call(&table, method, json!({})).await.unwrap_err();
        assert_eq!((error.code, error.data), (-32601, None), "{method}");
    }
}

#[tokio::test]
async fn a_defect_costs_one_request() {
    let world = World::new();
    let session = world.open("s").await;
    let table = world.table();
    let params = json!({"sessionId": "s", "tasks": [{"goal": "panic"}]});
    let error = call(&table, TASK_SPAWN, params).await.unwrap_err();
    assert!(["unavailable", "unknownSession"].contains(&kind(&error).1), "{error:?}");
    assert!(
        !session.tasks.is_open()
            || call(&table, TASK_LIST, json!({"sessionId": "s"})).await.is_ok()
    );
}
