import json
import multiprocessing
from dataclasses import replace

import optuna
import pytest
import torch

from common.errors import InputError, InvalidTableError, NotFoundError, UnavailableError
from encoders.config import RecipeName, TrainingConfig, config_of
from encoders.recipes import ours
from encoders.training.train import train
from encoders.tuning import study as study_file
from encoders.tuning.search_space import PAPER_SPACE
from encoders.tuning.tune import SPACE, read_settings, tune

TRIALS = 3


@pytest.fixture(scope="module")
def quick(config):
    return replace(config, autoencoder_epochs=1, alignment_epochs=3, shared=16)


@pytest.fixture
def study(tmp_path):
    return tmp_path / "search.journal"


@pytest.fixture
def search(dataset, embedder, quick, study):
    def run(trials=TRIALS, **changes):
        given = {"dataset": dataset, "config": quick, "path": study} | changes
        return tune(embedder=embedder, trials=trials, **given)

    return run


class InterruptedSearchError(Exception):
    pass


@pytest.fixture
def interrupt(monkeypatch):
    """Stop the search in the middle of its n-th trial, as a crash would."""
    honest = ours.fit_pair

    def interrupt_in(trial):
        begun = 0

        def fit_pair(*arguments, **named):
            nonlocal begun
            begun += 1
            for epoch, score in honest(*arguments, **named):
                if begun == trial and epoch == 1:
                    monkeypatch.setattr(ours, "fit_pair", honest)
                    raise InterruptedSearchError
                yield epoch, score

        monkeypatch.setattr(ours, "fit_pair", fit_pair)

    return interrupt_in


def trials_of(path):
    storage = study_file.read_journal(path)
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def states(path):
    return [trial.state.name for trial in trials_of(path)]


def test_tune_returns_the_best_of_its_trials_within_the_space(search, study):
    found = search()
    values = [trial.value for trial in trials_of(study)]
    assert len(values) == found.complete == TRIALS
    assert found.score == max(values)
    assert found.settings == trials_of(study)[found.trial].params
    assert all(SPACE[name].low <= found.settings[name] <= SPACE[name].high for name in SPACE)


def test_the_first_trial_has_the_settings_that_training_has_without_a_search(search, study, quick):
    search(1)
    (first,) = trials_of(study)
    assert first.params == {name: getattr(quick, name) for name in SPACE}


def test_a_default_outside_the_space_is_drawn_from_it_instead(search, study, quick):
    search(1, config=replace(quick, shared=8))
    (first,) = trials_of(study)
    assert first.params["shared"] >= 16
    assert first.params["hidden"] == quick.hidden


def test_every_epoch_is_reported_for_pruning(search, study, quick):
    search(1)
    (trial,) = trials_of(study)
    assert list(trial.intermediate_values) == list(range(quick.alignment_epochs))
    assert trial.value == max(trial.intermediate_values.values())


def test_a_trial_worse_than_the_median_is_pruned(search, study, monkeypatch):
    begun = 0

    def worse_each_time(*_arguments, **_named):
        nonlocal begun
        begun += 1
        yield from ((epoch, 1 / begun) for epoch in range(3))

    monkeypatch.setattr(ours, "fit_pair", worse_each_time)
    found = search(6)
    assert states(study) == ["COMPLETE"] * 5 + ["PRUNED"]
    assert (found.trial, found.complete, found.pruned) == (0, 5, 1)


def test_a_diverged_trial_is_not_the_best(search, study, monkeypatch):
    honest, begun = ours.fit_pair, 0

    def diverge_at_first(pair, *arguments, **named):
        nonlocal begun
        begun += 1
        for epoch, score in honest(pair, *arguments, **named):
            if begun == 1:
                with torch.no_grad():
                    next(pair.parameters()).fill_(torch.nan)
            yield epoch, 1.0 if begun == 1 else score

    monkeypatch.setattr(ours, "fit_pair", diverge_at_first)
    found = search(2)
    assert states(study) == ["PRUNED", "COMPLETE"]
    assert found.trial == 1
    assert found.score < 1


def test_equal_seeds_give_equal_studies_and_others_do_not(search, quick, tmp_path):
    found = [
        search(path=tmp_path / f"{i}", config=replace(quick, seed=seed))
        for i, seed in enumerate((1, 1, 2))
    ]
    assert found[0] == found[1]
    assert found[0].settings != found[2].settings
    assert found[0].study != found[2].study


def test_an_interrupted_search_goes_on_to_the_same_result(search, study, interrupt, tmp_path):
    interrupt(2)
    with pytest.raises(InterruptedSearchError):
        search()
    assert states(study) == ["COMPLETE", "RUNNING"]
    found = search()
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    uninterrupted = search(path=tmp_path / "other")
    assert found.score == uninterrupted.score
    assert found.settings == uninterrupted.settings


def test_a_finished_search_runs_no_trial_again_and_may_be_extended(search, study):
    first = search(2)
    assert search(2) == first
    assert len(trials_of(study)) == 2
    stages = []
    extended = search(3, progress=lambda stage, done, total: stages.append((stage, done, total)))
    assert extended.score >= first.score
    assert [s for s in stages if s[0] == "trials"] == [("trials", 2, 3), ("trials", 3, 3)]


def test_the_autoencoder_is_trained_once_for_a_study(search, dataset):
    search(1)
    stages = []
    search(2, progress=lambda stage, done, _total: stages.append((stage, done)))
    assert len([s for s in stages if s[0] == "training the autoencoder"]) == 1


def test_better_trials_are_announced_as_they_come(search):
    told = []
    found = search(better=told.append)
    assert told[0].trial == 0
    assert [one.score for one in told] == sorted({one.score for one in told})
    assert told[-1].settings == found.settings


def test_processes_share_a_study_and_train_as_one_process_would(search, study, tmp_path):
    found = search(4, jobs=2)
    assert states(study) == ["COMPLETE"] * 4
    assert found.score == max(trial.value for trial in trials_of(study))
    search(1, path=tmp_path / "other")
    (alone,) = trials_of(tmp_path / "other")
    assert [t.value for t in trials_of(study) if t.params == alone.params] == [alone.value]


def test_a_process_that_is_killed_loses_no_trial(search, study):
    def kill_all(stage, done, _total):
        if (stage, done) == ("trials", 1):
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(UnavailableError, match="repeat the command, with fewer --jobs"):
        search(40, jobs=2, progress=kill_all)
    finished = states(study).count("COMPLETE")
    assert 1 <= finished < 40
    search(finished + 2)
    assert "RUNNING" not in states(study)
    assert states(study).count("COMPLETE") == finished + 2


def test_tune_leaves_the_random_state_of_the_program_alone(search):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    search(1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("change", ["dataset", "config"])
def test_a_study_of_something_else_is_refused_and_kept(search, study, dataset, quick, change):
    search(1)
    before = study.read_bytes()
    other = {
        "dataset": replace(dataset, counts=dataset.counts + 1),
        "config": replace(quick, seed=7),
    }
    with pytest.raises(InputError, match=r"another dataset, text model.*give another --study"):
        search(2, **{change: other[change]})
    assert study.read_bytes() == before


@pytest.mark.parametrize("content", [b"my thesis", b"[1, 2]\n", b"\x80\x04\x95", b'{"a": 1}\n'])
def test_a_file_that_is_no_study_is_refused_and_kept(search, study, content):
    study.write_bytes(content)
    with pytest.raises(InputError, match="no study of chandra-search tune"):
        search()
    assert study.read_bytes() == content


def test_a_folder_is_no_study(search, tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        search(path=tmp_path)


def test_a_damaged_study_says_what_to_do(search, study):
    search(1)
    lines = study.read_bytes().splitlines(keepends=True)
    study.write_bytes(b"".join([lines[0], b"damaged\n", *lines[1:]]))
    with pytest.raises(InputError, match=r"is damaged .* remove it, or give another --study"):
        search(2)


def test_half_a_line_of_a_killed_search_is_cut_off(search, study):
    search(1)
    whole = study.read_bytes()
    study.write_bytes(whole + b'{"op_code": 6, "wor')
    search(2)
    assert study.read_bytes().startswith(whole)
    assert states(study) == ["COMPLETE"] * 2


def test_the_lock_of_a_killed_search_is_not_waited_for(search, study):
    lock = study.with_name(study.name + ".lock")
    lock.symlink_to(study)
    search(1)
    assert not lock.is_symlink()


def test_a_study_in_use_is_refused(search, study):
    with study_file.owned(study), pytest.raises(UnavailableError, match="in use by another search"):
        search()


def test_a_place_that_cannot_be_written_is_reported(search, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError, match=r"cannot be written .* give another --study"):
        search(path=tmp_path / "file" / "search.journal")


def test_no_room_on_the_disk_is_reported_and_the_search_goes_on_later(search, study, monkeypatch):
    search(1)
    with monkeypatch.context() as patch:
        patch.setattr(optuna.trial.Trial, "report", _no_room)
        with pytest.raises(UnavailableError, match=r"No space left.*goes on from them"):
            search(2)
    assert search(2).complete == 2


def _no_room(*_arguments):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("trials", "jobs"), [(0, 1), (-1, 1), (1, 0)])
def test_fewer_than_one_trial_or_process_is_refused(search, study, trials, jobs):
    with pytest.raises(InputError, match="at least 1 of each"):
        search(trials, jobs=jobs)
    assert not study.exists()


def test_too_few_pairs_are_refused(search, dataset):
    none = replace(dataset, texts=())
    with pytest.raises(InvalidTableError, match="0 sources with a spectrum and a summary"):
        search(dataset=none)


def test_what_was_found_trains_a_bundle(search, dataset, embedder, quick, tmp_path):
    found = search(2)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(found.to_dict()))
    settings = read_settings(path)
    assert settings == found.settings
    bundle = train(dataset, embedder, replace(quick, **settings))
    assert bundle.shared_width == settings["shared"]


def write_settings(folder, document):
    path = folder / "settings.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_the_defaults_of_training_are_in_the_space(tmp_path):
    defaults = {name: getattr(TrainingConfig(), name) for name in SPACE}
    assert read_settings(write_settings(tmp_path, {"settings": defaults})) == defaults


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("no json", "cannot be read as JSON"),
        ([1], "has no settings"),
        ({"hidden": 64}, "has no settings"),
        ({"settings": {}}, "has no settings"),
        ({"settings": {"hiden": 64}}, "unknown setting 'hiden': known are alignment_learning_rate"),
        ({"settings": {"hidden": 64.0}}, "hidden is 64.0: give a whole number from 16 to 1024"),
        ({"settings": {"hidden": True}}, "hidden is True: give a whole number"),
        ({"settings": {"hidden": 2048}}, "hidden is 2048: give a whole number"),
        ({"settings": {"dropout": "0.2"}}, "dropout is '0.2': give a number from 0.1 to 0.5"),
        ('{"settings": {"dropout": NaN}}', "dropout is nan: give a number"),
        ({"settings": {"dropout": None}}, "dropout is None: give a number"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, document, message):
    path = write_settings(tmp_path, document)
    with pytest.raises(InputError, match=message) as refused:
        read_settings(path)
    assert str(path) in str(refused.value)


def test_missing_settings_are_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"no settings file .*nowhere"):
        read_settings(tmp_path / "nowhere.json")


def test_the_grid_of_the_paper_is_searched_for_its_recipe(search):
    small = {"width": 16, "encoder_layers": 1, "autoencoder_epochs": 1, "alignment_epochs": 2}
    config = config_of(RecipeName.PAPER, **small)
    found = search(2, config=config)
    assert found.recipe == "paper"
    assert set(found.settings) == set(PAPER_SPACE)
    assert PAPER_SPACE["alignment_learning_rate"].high == 1e-3


def test_settings_found_for_another_recipe_are_refused(tmp_path):
    path = write_settings(tmp_path, {"settings": {"hidden": 64}, "recipe": "paper"})
    assert read_settings(path, "paper") == {"hidden": 64}
    with pytest.raises(InputError, match="found for --recipe paper"):
        read_settings(path)
