"""TensorBoard and MLflow keep a training through their own Keras callbacks."""

import warnings

import keras
import pytest

import transferkit as tk

OPTIONS = {"batch_size": 64, "verbose": False}
STEPS = 16  # 1,000 training images in batches of 64


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """Return MLflow on a local file store, reporting nothing to anybody."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow prefers SQLite, which needs more than mlflow-skinny
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.keras
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    yield mlflow
    mlflow.end_run()
    mlflow.set_tracking_uri(None)


def read_metrics(mlflow, run_id):
    client = mlflow.MlflowClient()
    names = client.get_run(run_id).data.metrics
    return {name: [(m.step, m.value) for m in client.get_metric_history(run_id, name)] for name in names}


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if tag.startswith(("epoch", "batch", "evaluation"))
    }


def column(run, name):
    return [(row["epoch"] - 1, pytest.approx(row[name], rel=1e-5)) for row in run.history]


@pytest.mark.long
@pytest.mark.parametrize("freeze", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_tensorboard_and_mlflow_hold_what_the_run_holds(transfer, digits, tmp_path, mlflow, freeze):
    model = transfer(freeze)
    with mlflow.start_run() as kept:
        callbacks = [
            keras.callbacks.TensorBoard(tmp_path / "board", update_freq="batch"),
            mlflow.keras.MlflowCallback(),
        ]
        run = tk.train(model, digits, epochs=2, callbacks=callbacks, **OPTIONS)
    assert run.model_info["engine"].startswith("litert" if freeze else "plain")
    training, validation = read_events(tmp_path / "board" / "train"), read_events(tmp_path / "board" / "validation")
    metrics = read_metrics(mlflow, kept.info.run_id)
    for name in ("loss", "accuracy"):
        assert training[f"epoch_{name}"] == metrics[name] == column(run, name)
        assert validation[f"epoch_{name}"] == metrics[f"val_{name}"] == column(run, f"val_{name}")
    assert training["epoch_learning_rate"] == column(run, "learning_rate")
    assert [step for step, _ in training["batch_loss"]] == list(range(1, 2 * STEPS + 1))
    assert [step for step, _ in validation["evaluation_loss_vs_iterations"]] == [STEPS, 2 * STEPS]
    params = mlflow.get_run(kept.info.run_id).data.params
    assert params["optimizer_name"] == "adamw"
    summary = mlflow.artifacts.load_text(f"{kept.info.artifact_uri}/model_summary.txt")
    assert "backbone" in summary  # the whole model, not what comes after its frozen part


@pytest.mark.slow
def test_fine_tuning_counts_epochs_on(transfer, digits, tmp_path, mlflow):
    with mlflow.start_run() as kept:
        callbacks = [keras.callbacks.TensorBoard(tmp_path / "board"), mlflow.keras.MlflowCallback()]
        run = tk.fine_tune(transfer(True), digits, head_epochs=1, epochs=1, callbacks=callbacks, **OPTIONS)
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert read_events(tmp_path / "board" / "train")["epoch_loss"] == column(run, "loss")
    assert read_metrics(mlflow, kept.info.run_id)["val_loss"] == column(run, "val_loss")


@pytest.mark.long
def test_mlflow_autologging_sees_the_training(transfer, digits, mlflow):
    mlflow.keras.autolog(log_models=False, log_datasets=False)
    try:
        with mlflow.start_run() as kept:
            run = tk.train(transfer(True), digits, epochs=2, **OPTIONS)
    finally:
        mlflow.keras.autolog(disable=True)
    assert run.model_info["engine"] == "litert"
    assert read_metrics(mlflow, kept.info.run_id)["val_accuracy"] == column(run, "val_accuracy")
    assert mlflow.get_run(kept.info.run_id).data.params["batch_size"] == "64"


@pytest.mark.long
def test_finished_run_is_logged_afterwards(transfer, digits, tmp_path, mlflow):
    """What the guide shows."""
    run = tk.train(transfer(True), digits, epochs=1, folder=tmp_path / "runs", name="frozen", **OPTIONS)
    with mlflow.start_run(run_name=run.name) as kept:
        mlflow.log_params(run.recipe | {"seed": run.seed})
        mlflow.log_metrics({f"test_{name}": value for name, value in run.metrics.items() if isinstance(value, float)})
        mlflow.log_artifacts(run.path)
    logged = mlflow.get_run(kept.info.run_id).data
    assert logged.metrics["test_accuracy"] == run.metrics["accuracy"]
    assert logged.params["epochs"] == "1"
    fetched = mlflow.artifacts.download_artifacts(kept.info.artifact_uri, dst_path=str(tmp_path / "fetched"))
    assert tk.load_run(fetched).metrics == run.metrics
